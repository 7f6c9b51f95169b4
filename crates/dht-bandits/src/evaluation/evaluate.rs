//! Several policies judged from one log, by all estimators, in one table.

use super::bootstrap::Interval;
use super::confidence_sequence::ConfidenceSequence;
use super::estimate::Estimate;
use super::estimator::Estimator;
use super::known_arms::ask_of_known;
use super::off_policy::OffPolicy;
use super::outcome_model::{CrossFit, rounds_for};
use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::log::LoggedDecision;
use crate::options::options;
use crate::policy::{Policy, Request};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;

type Probabilities<'a> = dyn Fn(&Request<'_>) -> Result<Vec<(ArmId, f64)>> + 'a;

/// A policy to be judged: its name, and its probability of each arm in a context. It must not have learned from the log
/// that judges it.
pub struct Target<'a> {
    name: String,
    probabilities: Box<Probabilities<'a>>,
}

impl<'a> Target<'a> {
    /// A policy given by its probabilities; arms that are left out have none.
    pub fn new(
        name: impl Into<String>,
        probabilities: impl Fn(&Request<'_>) -> Result<Vec<(ArmId, f64)>> + 'a,
    ) -> Self {
        Self { name: name.into(), probabilities: Box::new(probabilities) }
    }

    /// A policy by its [propensities](Policy::propensities), without learning.
    ///
    /// Arms that a row names and the policy lacks, since it removed them or never had them, it never chooses: it is asked
    /// about those it has, and the others have probability 0. That is unbiased for what it earns in these contexts with the
    /// arms it has, and nothing that the log does not support, which is what it would choose and the log never does. A
    /// row none of whose arms it has is refused: it could not have answered.
    pub fn of_policy(name: impl Into<String>, policy: &'a dyn Policy) -> Self {
        Self::new(name, |request| {
            let all = ask_of_known(request, |asked| policy.propensities(asked))?;
            Ok(all.into_iter().map(|entry| (entry.arm, entry.probability)).collect())
        })
    }

    /// The policy that always plays one arm.
    pub fn always(arm: ArmId) -> Self {
        Self::new(format!("always {arm}"), move |_| Ok(vec![(arm, 1.0)]))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its probabilities in each row of a log: as many values as rows times arms. [`evaluate()`] asks row by row instead.
    ///
    /// # Errors
    /// What the policy refuses, with the round.
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

/// What [`evaluate`] computes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct EvaluationSettings {
    /// The reward model of the doubly robust estimators; `None` leaves them out.
    pub model: Option<CrossFit>,
    /// The number of bootstrap resamples, at least 40; 0 for no bootstrap intervals.
    pub resamples: usize,
    /// The smallest and the largest reward there can be, for confidence sequences; `None` leaves those out.
    pub reward_range: Option<(f64, f64)>,
}

options!(EvaluationSettings::new() {
    model / with_model: Option<CrossFit> = Some(CrossFit::new()),
    resamples / with_resamples: usize = 0,
    reward_range / with_reward_range: Option<(f64, f64)> = None,
});

/// One estimate of one policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRow {
    /// The policy.
    pub policy: String,
    /// The estimator, as it is written in tables: `SNIPS`, `switch-DR(4.2)`, `MRDR`; `mean` for the logging policy.
    pub estimator: String,
    /// The estimate with its asymptotic interval and its support.
    pub estimate: Estimate,
    /// The bootstrap interval.
    pub bootstrap: Option<Interval>,
    /// The anytime-valid interval, by importance weighting; none of the logging policy, which may have learned.
    pub sequence: Option<Interval>,
}

/// All estimates of several policies from one log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The rows, policy by policy; the first is the logging policy's own mean reward.
    pub rows: Vec<EvaluationRow>,
}

/// Judges policies from a log: IPS, SNIPS and clipped IPS; with a model DM, DR, SNDR, switch-DR, DRos and MRDR. The
/// parameters of clipped IPS, switch-DR and DRos are chosen by [SLOPE](OffPolicy::slope); MRDR is DR with a model that is
/// [fitted for it](CrossFit::more_robust).
///
/// Time is linear in rows and arms. Beside the log, memory holds a few hundred bytes a row: each target is asked for its
/// probabilities row by row, once without a model and three times with one.
///
/// # Errors
/// Fewer than two rows, or than folds; rows that are refused; what a policy refuses, with the round; a policy that never
/// does what was logged ([`Error::NoOverlap`]); a reward outside of the given range; [`Error::DuplicateName`]: two
/// policies of one name, or one of the log's, whose rows could not be told apart.
pub fn evaluate<R: Rng + ?Sized>(
    log: &[LoggedDecision],
    targets: &[Target<'_>],
    settings: &EvaluationSettings,
    rng: &mut R,
) -> Result<Evaluation> {
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
    let models = settings.model.filter(|model| !model.more_robust && !targets.is_empty());
    let models = models.map(|model| model.fit(log, &own)).transpose()?;
    for target in targets {
        let probabilities = |position: usize| Ok(Cow::Owned(target.probabilities_in(&log[position])?));
        let mut judged = rounds_for(log, &probabilities)?;
        if let Some(model) = &settings.model {
            judged = match &models {
                Some(models) => model.predict(models, log, judged, &probabilities)?,
                None => model.predict(&model.fit(log, &judged)?, log, judged, &probabilities)?,
            };
        }
        let judge = OffPolicy::new(&judged)?;
        let plain = [Estimator::InversePropensity, Estimator::SelfNormalised];
        let robust = [Estimator::Direct, Estimator::DoublyRobust, Estimator::SelfNormalisedDoublyRobust];
        let clipped = judge.candidates(|largest| Estimator::Clipped { largest });
        let (clipped, _) = judge.slope(&clipped)?;
        for estimator in plain.into_iter().chain([clipped]) {
            table.add(target.name(), &estimator.to_string(), estimator, &judge, rng)?;
        }
        let Some(model) = settings.model else { continue };
        let switch = judge.candidates(|threshold| Estimator::SwitchDoublyRobust { threshold });
        let shrunk = judge.candidates(|weight| Estimator::OptimisticDoublyRobust { shrinkage: weight * weight });
        let tuned = [judge.slope(&switch)?.0, judge.slope(&shrunk)?.0];
        for estimator in robust.into_iter().chain(tuned) {
            table.add(target.name(), &estimator.to_string(), estimator, &judge, rng)?;
        }
        let more_robust = CrossFit { more_robust: true, ..model };
        let more_robust = more_robust.predict(&more_robust.fit(log, &judged)?, log, judged.clone(), &probabilities)?;
        table.add(target.name(), "MRDR", Estimator::DoublyRobust, &OffPolicy::new(&more_robust)?, rng)?;
    }
    Ok(Evaluation { rows: table.rows })
}

/// The name of the logging policy in tables.
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
    /// The row of a policy and an estimator, by the beginning of its name.
    pub fn row(&self, policy: &str, estimator: &str) -> Option<&EvaluationRow> {
        self.rows.iter().find(|row| row.policy == policy && row.estimator.starts_with(estimator))
    }

    /// The table in Markdown.
    pub fn to_markdown(&self) -> String {
        let mut table =
            "| policy | estimator | value | 95 % | bootstrap | anytime | effective samples | largest weight \
                         | mean weight | unsupported |\n|---|---|---|---|---|---|---|---|---|---|\n"
                .to_owned();
        let interval = |interval: Option<Interval>| {
            interval.map_or("–".to_owned(), |interval| match interval {
                interval if interval.is_empty() => "empty".to_owned(),
                Interval { low, high } => format!("{low:.3} to {high:.3}"),
            })
        };
        for EvaluationRow { policy, estimator, estimate, bootstrap, sequence } in &self.rows {
            let Estimate { value, low, high, effective_samples, largest_weight, mean_weight, unsupported, .. } =
                estimate;
            let (bootstrap, sequence) = (interval(*bootstrap), interval(*sequence));
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
