//! Off-policy evaluation of several policies from one log, with all estimators, as one table.

use super::confidence_sequence::ConfidenceSequence;
use super::estimate::Estimate;
use super::estimator::Estimator;
use super::known_arms::ask_of_known;
use super::off_policy::OffPolicy;
use super::outcome_model::{CrossFit, OutcomeModel, rounds_for};
use crate::arm::ArmId;
use crate::decision::Request;
use crate::error::{Error, Result};
use crate::log::LoggedDecision;
use crate::options::options;
use crate::policy::Policy;
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::RangeInclusive;

type Probabilities<'a> = dyn Fn(&Request<'_>) -> Result<Vec<(ArmId, f64)>> + 'a;

/// Policy to be evaluated: its name, and its probability of each arm in a context. It must not have learned from the
/// log that evaluates it.
pub struct Target<'a> {
    name: String,
    probabilities: Box<Probabilities<'a>>,
}

impl<'a> Target<'a> {
    /// Creates a target from its probabilities; omitted arms have probability 0.
    pub fn new(
        name: impl Into<String>,
        probabilities: impl Fn(&Request<'_>) -> Result<Vec<(ArmId, f64)>> + 'a,
    ) -> Self {
        Self { name: name.into(), probabilities: Box::new(probabilities) }
    }

    /// Creates a target from a policy's [propensities](Policy::propensities), without learning.
    ///
    /// The policy never chooses arms that a row names and the policy lacks, because it removed them or never had them.
    /// It is asked about the arms that it has, and the others have probability 0. This is unbiased for its reward in
    /// these contexts with its arms, and gives no weight to arms that the log does not support. A row with none of the
    /// policy's arms is refused: the policy could not have answered.
    pub fn from_policy(name: impl Into<String>, policy: &'a dyn Policy) -> Self {
        Self::new(name, |request| {
            let all = ask_of_known(request, |asked| policy.propensities(asked))?;
            Ok(all.into_iter().map(|entry| (entry.arm, entry.probability)).collect())
        })
    }

    /// Creates the policy that always plays one arm.
    pub fn always(arm: ArmId) -> Self {
        Self::new(format!("always {arm}"), move |_| Ok(vec![(arm, 1.0)]))
    }

    /// Name of the target.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Probabilities of the target in each row of a log: (number of rows) × (number of arms) values.
    /// [`Evaluation::run`] asks row by row instead.
    ///
    /// # Errors
    /// Errors of the policy, with the round.
    pub fn probabilities(&self, log: &[LoggedDecision]) -> Result<Vec<Vec<(ArmId, f64)>>> {
        let of_row = |(round, row): (usize, &LoggedDecision)| {
            self.probabilities_in(row).map_err(|source| Error::InRound { round, source: Box::new(source) })
        };
        log.iter().enumerate().map(of_row).collect()
    }

    fn probabilities_in(&self, row: &LoggedDecision) -> Result<Vec<(ArmId, f64)>> {
        (self.probabilities)(&row.request()?)
    }
}

impl std::fmt::Debug for Target<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Settings of an [`Evaluation`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct EvaluationSettings {
    /// Reward model of the direct and the doubly robust estimators; `None` leaves them out. By default a
    /// [ridge regression](OutcomeModel::Ridge) for each arm, with a prior precision of 1.
    pub model: Option<OutcomeModel>,
    /// Number of folds of the reward model's [cross-fitting](OutcomeModel::cross_fit), at least 2. 5 by default.
    pub folds: usize,
    /// Number of bootstrap resamples, at least 40; 0, the default, for no bootstrap intervals.
    pub resamples: usize,
    /// Smallest and largest possible reward, for confidence sequences; `None`, the default, leaves those out.
    pub reward_range: Option<(f64, f64)>,
}

options!(EvaluationSettings::new() {
    model / with_model: Option<OutcomeModel> = Some(OutcomeModel::Ridge { prior_precision: 1.0 }),
    folds / with_folds: usize = 5,
    resamples / with_resamples: usize = 0,
    reward_range / with_reward_range: Option<(f64, f64)> = None,
});

/// Estimate of one policy by one estimator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRow {
    /// Name of the policy.
    pub policy: String,
    /// Name of the estimator, from the table of [`Estimator`], with its parameter if it has one: `SNIPS`,
    /// `switch-DR(4.2)`. Two more names are `MRDR` (see [`Evaluation::run`]), and `mean` for the logging policy.
    pub estimator: String,
    /// Estimate with its asymptotic interval and its support.
    pub estimate: Estimate,
    /// Bootstrap interval.
    pub bootstrap: Option<RangeInclusive<f64>>,
    /// Anytime-valid interval by importance weighting; `None` for the logging policy, which may have learned.
    pub sequence: Option<RangeInclusive<f64>>,
}

/// All estimates of several policies from one log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Rows, policy by policy; the first is the logging policy's own mean reward.
    pub rows: Vec<EvaluationRow>,
}

/// Name of the logging policy in tables.
const THE_LOG: &str = "(the log)";

struct Table<'a> {
    settings: &'a EvaluationSettings,
    rows: Vec<EvaluationRow>,
}

impl Table<'_> {
    fn add<R: Rng + ?Sized>(
        &mut self,
        policy: &str,
        name: &str,
        estimator: Estimator,
        judge: &OffPolicy<'_>,
        rng: &mut R,
    ) -> Result<()> {
        let estimate = judge.estimate(estimator)?;
        let bootstrap = match self.settings.resamples {
            0 => None,
            resamples => Some(judge.bootstrap(estimator, resamples, rng)?),
        };
        let sequence = match self.settings.reward_range {
            // What a policy earns that learns is no fixed value, which sequences are about.
            Some(range) if estimator == Estimator::InversePropensity && policy != THE_LOG => {
                let mut sequence = ConfidenceSequence::new(range, 0.05)?;
                judge.rounds().iter().try_for_each(|round| sequence.push(round).map(drop))?;
                Some(sequence.interval())
            }
            _ => None,
        };
        let (policy, estimator) = (policy.to_owned(), name.to_owned());
        self.rows.push(EvaluationRow { policy, estimator, estimate, bootstrap, sequence });
        Ok(())
    }
}

impl Evaluation {
    /// Evaluates policies from a log: IPS, SNIPS and clipped IPS; with a model also DM, DR, SNDR, switch-DR, DRos and
    /// MRDR. [SLOPE](OffPolicy::slope) selects the parameters of clipped IPS, switch-DR and DRos. MRDR is DR with a
    /// model that is [fitted for it](OutcomeModel::cross_fit_mrdr).
    ///
    /// Time is linear in rows and arms. In addition to the log, memory holds a few hundred bytes per row. Each target
    /// is asked for its probabilities row by row, once without a model and three times with one.
    ///
    /// # Errors
    /// Fewer than two rows, or fewer rows than folds; rows that are refused; errors of a policy, with the round; a
    /// policy that never takes a logged action ([`Error::NoOverlap`]); a reward outside the given range;
    /// [`Error::DuplicateName`]: two policies with the same name, or one with the log's name, whose rows could not be
    /// distinguished.
    pub fn run<R: Rng + ?Sized>(
        log: &[LoggedDecision],
        targets: &[Target<'_>],
        settings: &EvaluationSettings,
        rng: &mut R,
    ) -> Result<Self> {
        let mut names = BTreeSet::from([THE_LOG]);
        if let Some(twice) = targets.iter().find(|target| !names.insert(target.name())) {
            return Err(Error::DuplicateName { what: "policy to be judged", name: twice.name().to_owned() });
        }
        let own = |row: &LoggedDecision| {
            let round = super::LoggedRound::new(row.reward, 1.0, 1.0);
            super::LoggedRound { drop_probability: row.drop_probability, ..round }
        };
        let own: Vec<_> = log.iter().map(own).collect();
        for (position, row) in log.iter().enumerate() {
            row.check(position)?;
        }
        let mut table = Table { settings, rows: Vec::new() };
        table.add(THE_LOG, "mean", Estimator::InversePropensity, &OffPolicy::new(&own)?, rng)?;
        // Weighted by rows alone, and so the same for every target.
        let fit = |more_robust| settings.model.map(|model| CrossFit { model, folds: settings.folds, more_robust });
        let plain = fit(false).filter(|_| !targets.is_empty());
        let models = plain.map(|fit| Ok((fit, fit.fit(log, &own)?))).transpose()?;
        for target in targets {
            let probabilities = |position: usize| Ok(Cow::Owned(target.probabilities_in(&log[position])?));
            let mut judged = rounds_for(log, &probabilities)?;
            if let Some((fit, models)) = &models {
                judged = fit.predict(models, log, judged, &probabilities)?;
            }
            let judge = OffPolicy::new(&judged)?;
            let plain = [Estimator::InversePropensity, Estimator::SelfNormalised];
            let robust = [Estimator::Direct, Estimator::DoublyRobust, Estimator::SelfNormalisedDoublyRobust];
            let clipped = judge.candidates(|largest| Estimator::Clipped { largest });
            let (clipped, _) = judge.slope(&clipped)?;
            for estimator in plain.into_iter().chain([clipped]) {
                table.add(target.name(), &estimator.to_string(), estimator, &judge, rng)?;
            }
            let Some(more_robust) = fit(true) else { continue };
            let switch = judge.candidates(|threshold| Estimator::SwitchDoublyRobust { threshold });
            let shrunk = judge.candidates(|weight| Estimator::OptimisticDoublyRobust { shrinkage: weight * weight });
            let tuned = [judge.slope(&switch)?.0, judge.slope(&shrunk)?.0];
            for estimator in robust.into_iter().chain(tuned) {
                table.add(target.name(), &estimator.to_string(), estimator, &judge, rng)?;
            }
            let models = more_robust.fit(log, &judged)?;
            let more_robust = more_robust.predict(&models, log, judged, &probabilities)?;
            table.add(target.name(), "MRDR", Estimator::DoublyRobust, &OffPolicy::new(&more_robust)?, rng)?;
        }
        Ok(Self { rows: table.rows })
    }

    /// Finds the first row of a policy whose estimator's name begins with `estimator`: `"switch-DR"` finds
    /// `switch-DR(4.2)`. The names, in the order of the rows:
    ///
    /// * of the logging policy, `"(the log)"`: `mean`;
    /// * of every other policy: `IPS`, `SNIPS`, `clipped IPS(…)`;
    /// * with a [model](EvaluationSettings::model) also: `DM`, `DR`, `SNDR`, `switch-DR(…)`, `DRos(…)`, `MRDR`.
    ///
    /// `"DR"` finds `DR`, because `DRos(…)` comes later. The table has no row for `DRps`.
    pub fn row(&self, policy: &str, estimator: &str) -> Option<&EvaluationRow> {
        self.rows.iter().find(|row| row.policy == policy && row.estimator.starts_with(estimator))
    }

    /// Formats the table in Markdown.
    pub fn to_markdown(&self) -> String {
        let mut table =
            "| policy | estimator | value | 95 % | bootstrap | anytime | effective samples | largest weight \
                         | mean weight | unsupported |\n|---|---|---|---|---|---|---|---|---|---|\n"
                .to_owned();
        let interval = |interval: &Option<RangeInclusive<f64>>| match interval {
            None => "–".to_owned(),
            Some(interval) if interval.is_empty() => "empty".to_owned(),
            Some(interval) => format!("{:.3} to {:.3}", interval.start(), interval.end()),
        };
        for EvaluationRow { policy, estimator, estimate, bootstrap, sequence } in &self.rows {
            let Estimate { value, low, high, effective_samples, largest_weight, mean_weight, unsupported, .. } =
                estimate;
            let (bootstrap, sequence) = (interval(bootstrap), interval(sequence));
            let policy = policy.replace(['|', '\n'], " ");
            // Writing to a string cannot fail.
            let _ = writeln!(
                table,
                "| {policy} | {estimator} | {value:.3} | {low:.3} to {high:.3} | {bootstrap} | {sequence} | \
                 {effective_samples:.0} | {largest_weight:.1} | {mean_weight:.2} | {unsupported:.2} |"
            );
        }
        table
    }
}
