//! Off-policy evaluation of several policies from one log by several estimators, as one table.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::RangeInclusive;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::confidence_sequence::ConfidenceSequence;
use super::estimate::Estimate;
use super::estimator::Estimator;
use super::level::{DEFAULT_LEVEL, check_level};
use super::off_policy::OffPolicy;
use super::outcome_model::{CrossFit, FittedOutcome, OutcomeModel, rounds_for};
use super::propensity_model::PropensityModel;
use super::target::Target;
use crate::decision::QUADRATURE_ERROR;
use crate::error::{Error, Result};
use crate::log::LoggedDecision;
use crate::options::options;

/// Settings of [`Evaluation::run`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct EvaluationSettings {
    /// Reward model of the direct and the doubly robust estimators. With `None`, the table does not contain these
    /// estimators. The default is a [ridge regression](OutcomeModel::Ridge) for each arm, with a prior precision of 1.
    pub model: Option<OutcomeModel>,
    /// Number of folds for [cross-fitting](OutcomeModel::cross_fit) the reward model, at least 2. The default is 5.
    pub folds: usize,
    /// Confidence level of each interval, in (0, 1). The default is .95.
    pub level: f64,
    /// Model that estimates missing propensities of log rows. With the default `None`, a log without propensities is
    /// evaluated by the direct method alone. In both cases the result contains a [warning](Evaluation::warnings).
    pub propensity_model: Option<PropensityModel>,
    /// Number of bootstrap resamples, at least 40 and 2/(1 − level). With the default 0 there are no bootstrap
    /// intervals.
    pub resamples: usize,
    /// Smallest and largest possible reward, needed for confidence sequences. With the default `None` there are no
    /// sequences.
    pub reward_range: Option<(f64, f64)>,
}

options!(EvaluationSettings::new() {
    model / with_model: Option<OutcomeModel> = Some(OutcomeModel::Ridge { prior_precision: 1.0 }),
    folds / with_folds: usize = 5,
    level / with_level: f64 = DEFAULT_LEVEL,
    propensity_model / with_propensity_model: Option<PropensityModel> = None,
    resamples / with_resamples: usize = 0,
    reward_range / with_reward_range: Option<(f64, f64)> = None,
});

/// Row of an [`Evaluation`]: the estimated value of one policy by one estimator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRow {
    /// Name of the policy.
    pub policy: String,
    /// Name of the estimator from the table of [`Estimator`], with its parameter if it has one: `SNIPS`,
    /// `switch-DR(4.2)`. Two more names occur: `MRDR` (see [`Evaluation::run`]), and `mean` for the logging policy.
    pub estimator: String,
    /// Estimated value with its confidence interval. Estimators with a bias have no interval.
    pub estimate: Estimate,
    /// Bootstrap confidence interval. `None` without resamples, or if the estimator has no interval.
    pub bootstrap: Option<RangeInclusive<f64>>,
    /// Anytime-valid confidence interval of the value, by importance weighting. `None` without a [reward
    /// range](EvaluationSettings::reward_range), and for the logging policy, which may have learned.
    pub sequence: Option<RangeInclusive<f64>>,
    /// [Gain](OffPolicy::gain) in value over the logging policy, with an interval computed from the same rounds. `None`
    /// for the logging policy.
    pub gain: Option<Estimate>,
    /// Anytime-valid confidence interval of the [gain](ConfidenceSequence::gain) over the logging policy. `None` if
    /// [`sequence`](Self::sequence) is `None`.
    pub gain_sequence: Option<RangeInclusive<f64>>,
}

/// Recommendation whether a policy should replace the logging policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The interval of the gain is above 0: the policy earns more reward than the logging policy.
    Deploy,
    /// The interval of the gain is below 0: the policy earns less reward than the logging policy.
    Reject,
    /// The interval of the gain contains 0, or the gain has no interval.
    Undecided,
}

impl Verdict {
    pub(super) fn new(low: f64, high: f64) -> Self {
        // An empty interval supports no verdict.
        match low <= high {
            true if low > 0.0 => Self::Deploy,
            true if high < 0.0 => Self::Reject,
            _ => Self::Undecided,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Deploy => "deploy",
            Self::Reject => "reject",
            Self::Undecided => "undecided",
        })
    }
}

/// Reason to doubt the results of an [`Evaluation`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EvaluationWarning {
    /// The log has no propensities. Values are estimated by the direct method alone, whose error is unknown.
    NoPropensities,
    /// Some propensities are estimates. The standard errors of values do not account for their errors.
    EstimatedPropensities {
        /// Number of rows with an estimated propensity.
        rows: usize,
    },
    /// A policy has learned, and it is unknown whether it learned from rows of the log (see [`Target::trained_on`]).
    UnknownTraining {
        /// Name of the policy.
        policy: String,
        /// Number of rewards that the policy has learned.
        updates: u64,
    },
}

impl std::fmt::Display for EvaluationWarning {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoPropensities => formatter
                .write_str("no row has a propensity: the direct method alone judges, and a wrong model goes unnoticed"),
            Self::EstimatedPropensities { rows } => write!(
                formatter,
                "the propensities of {rows} rows are estimates: intervals leave their errors out. A choice by what the \
                 context does not hold biases every estimate, and so does a rule that never took some of the arms in \
                 a part of the contexts"
            ),
            Self::UnknownTraining { policy, updates } => write!(
                formatter,
                "{policy:?} has learned {updates} rewards: if they are from this log, its estimates are too high (name the \
                 rows by `Target::trained_on`, or use `Target::cross_fitted`)"
            ),
        }
    }
}

/// Result of an off-policy evaluation: a table of estimates for several policies and estimators from one log.
///
/// ```
/// use dht_bandits::ArmId;
/// use dht_bandits::evaluation::{Evaluation, EvaluationSettings, Target, Verdict};
/// use dht_bandits::log::LoggedDecision;
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// // The log chose each of two arms with probability 1/2. Arm 1 earns .8 on average, arm 0 .2.
/// let log: Vec<_> = (0..400)
///     .map(|round| {
///         let (arm, hit) = (round % 2, (round / 2) % 5 == 0);
///         let reward = if hit == (arm == 0) { 1.0 } else { 0.0 };
///         LoggedDecision::new(vec![1.0], ArmId::new(arm), 0.5, reward)
///     })
///     .collect();
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let targets = [Target::always(ArmId::new(1))];
/// let evaluation = Evaluation::run(&log, &targets, &EvaluationSettings::default(), &mut rng)?;
/// let name = targets[0].name();
/// let estimate = evaluation.row(name, "SNIPS").ok_or("no row")?.estimate;
/// assert!((estimate.value - 0.8).abs() < 1e-9 && estimate.low > 0.7);
/// assert_eq!(evaluation.verdict(name), Some(Verdict::Deploy));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evaluation {
    /// Rows of the table, grouped by policy. The first row is the mean reward of the log, the value of the logging
    /// policy.
    pub rows: Vec<EvaluationRow>,
    /// Confidence level of the intervals.
    pub level: f64,
    /// Reasons to doubt the estimates, such as missing propensities.
    pub warnings: Vec<EvaluationWarning>,
}

const THE_LOG: &str = "(the log)";

/// Name of the doubly robust estimator whose reward model minimises the variance of the estimate. Only few rows have a
/// large weight when this reward model is fitted. The result table shows no interval for it: a 95 % interval would
/// cover the true value in only 92 % of logs.
const MRDR: &str = "MRDR";

struct Table<'a> {
    settings: &'a EvaluationSettings,
    rows: Vec<EvaluationRow>,
}

impl Table<'_> {
    /// Adds one policy's estimates to the result table. If the log has no propensities, only the direct method is used.
    fn add_target<R: Rng + ?Sized>(
        &mut self,
        target: &Target<'_>,
        log: &[LoggedDecision],
        models: Option<&(CrossFit, Vec<FittedOutcome>)>,
        more_robust: Option<CrossFit>,
        rng: &mut R,
    ) -> Result<()> {
        let (name, prepared) = (target.name(), target.prepare(log)?);
        let probabilities = |position: usize| Ok(Cow::Owned(prepared.probabilities(position, &log[position])?));
        let mut judged = rounds_for(log, &probabilities)?;
        if let Some((fit, models)) = models {
            judged = fit.predict(models, log, judged, &probabilities)?;
        }
        let judge = OffPolicy::new(&judged)?;
        if models.is_some() && more_robust.is_none() {
            return self.add(name, "DM", Estimator::Direct, &judge, rng);
        }
        let clipped = judge.candidates(|largest| Estimator::Clipped { largest });
        let (clipped, _) = judge.slope(&clipped)?;
        for estimator in [Estimator::InversePropensity, Estimator::SelfNormalised, clipped] {
            self.add(name, &estimator.to_string(), estimator, &judge, rng)?;
        }
        let Some(more_robust) = more_robust else { return Ok(()) };
        let switch = judge.candidates(|threshold| Estimator::SwitchDoublyRobust { threshold });
        let shrunk = judge.candidates(|weight| Estimator::OptimisticDoublyRobust { shrinkage: weight * weight });
        let tuned = [judge.slope(&switch)?.0, judge.slope(&shrunk)?.0];
        let robust = [Estimator::Direct, Estimator::DoublyRobust, Estimator::SelfNormalisedDoublyRobust];
        for estimator in robust.into_iter().chain(tuned) {
            self.add(name, &estimator.to_string(), estimator, &judge, rng)?;
        }
        let models = more_robust.fit(log, &judged)?;
        let more_robust = more_robust.predict(&models, log, judged, &probabilities)?;
        self.add(name, MRDR, Estimator::DoublyRobust, &OffPolicy::new(&more_robust)?, rng)
    }

    fn add<R: Rng + ?Sized>(
        &mut self,
        policy: &str,
        name: &str,
        estimator: Estimator,
        judge: &OffPolicy<'_>,
        rng: &mut R,
    ) -> Result<()> {
        let EvaluationSettings { level, resamples, reward_range, .. } = *self.settings;
        let mut estimate = judge.estimate(estimator)?.at_level(level)?;
        let of_log = policy == THE_LOG;
        let mut gain = if of_log { None } else { Some(judge.gain(estimator)?.at_level(level)?) };
        if name == MRDR {
            estimate = estimate.without_interval();
            gain = gain.map(Estimate::without_interval);
        }
        let bootstrap = match resamples {
            0 => None,
            _ if !estimate.has_interval() => None,
            resamples => Some(judge.bootstrap(estimator, resamples, level, rng)?),
        };
        let (sequence, gain_sequence) = match reward_range {
            // Sequences estimate a fixed value, and a policy that learns has none.
            Some(range) if estimator == Estimator::InversePropensity && !of_log => {
                let alpha = 1.0 - level;
                let mut sequence = ConfidenceSequence::new(range, alpha)?;
                let mut gain = ConfidenceSequence::gain(range, alpha)?;
                for round in judge.rounds() {
                    sequence.push(round)?;
                    gain.push(round)?;
                }
                (Some(sequence.interval()), Some(gain.interval()))
            }
            _ => (None, None),
        };
        let (policy, estimator) = (policy.to_owned(), name.to_owned());
        self.rows.push(EvaluationRow { policy, estimator, estimate, bootstrap, sequence, gain, gain_sequence });
        Ok(())
    }
}

impl Evaluation {
    /// Evaluates policies from a log by several estimators, whose names [`Estimator`] explains. Without a reward model
    /// these are IPS, SNIPS and clipped IPS. With a reward model, DM, DR, SNDR, switch-DR, DRos and MRDR are added.
    /// [SLOPE](OffPolicy::slope) selects the parameters of clipped IPS, switch-DR and DRos. MRDR is DR with a reward
    /// model that [minimises the variance of the estimate](OutcomeModel::cross_fit_mrdr). IPS, SNIPS, DR and SNDR have
    /// confidence intervals.
    ///
    /// For a log without propensities, DM alone is computed, or propensities are estimated
    /// ([`propensity_model`](EvaluationSettings::propensity_model)). Both add a [warning](Self::warnings).
    ///
    /// Time grows linearly with the number of rows, and less than linearly with the number of arms. In addition to the
    /// log, memory holds a few hundred bytes per row. The probabilities of each target are computed once per row, or
    /// three times with a reward model.
    ///
    /// # Errors
    /// * Fails if there are fewer than two rows, or fewer rows than folds, or if a row is invalid.
    /// * Fails if a reward is outside the reward range of the settings, or if the level is outside (0, 1).
    /// * Fails if a policy rejects a row. The error states the index of the round.
    /// * [`Error::NoOverlap`] if a policy never takes a logged action.
    /// * [`Error::DuplicateName`] if two policies have the same name, or if one is named `(the log)`.
    /// * [`Error::LearnedFromLog`] if a policy learned from one of the rows.
    /// * [`Error::NoPropensity`] if only some rows have a propensity, or if none has one and there is no model.
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
        check_level(settings.level)?;
        for (position, row) in log.iter().enumerate() {
            row.check(position)?;
        }
        targets.iter().try_for_each(|target| target.check_unseen(log))?;
        let mut warnings = Vec::new();
        let filled;
        let log = match settings.propensity_model {
            Some(model) if log.iter().any(|row| row.propensity.is_none()) => {
                let mut copy = log.to_vec();
                model.fill(&mut copy, settings.folds)?;
                filled = copy;
                &filled[..]
            }
            _ => log,
        };
        // If no row has a propensity, only the direct method remains. If some have one, the first row without one is
        // refused.
        let unknown = settings.model.is_some() && log.iter().all(|row| row.propensity.is_none());
        if unknown && !log.is_empty() {
            warnings.push(EvaluationWarning::NoPropensities);
        }
        match log.iter().filter(|row| row.propensity_error > QUADRATURE_ERROR).count() {
            0 => {}
            rows => warnings.push(EvaluationWarning::EstimatedPropensities { rows }),
        }
        for target in targets.iter().filter(|target| target.unknown_updates() > 0) {
            let (policy, updates) = (target.name().to_owned(), target.unknown_updates());
            warnings.push(EvaluationWarning::UnknownTraining { policy, updates });
        }
        let own = |row: &LoggedDecision| {
            let round = super::LoggedRound::new(row.reward, 1.0, 1.0);
            super::LoggedRound { drop_probability: row.drop_probability, ..round }
        };
        let own: Vec<_> = log.iter().map(own).collect();
        let mut table = Table { settings, rows: Vec::new() };
        table.add(THE_LOG, "mean", Estimator::InversePropensity, &OffPolicy::new(&own)?, rng)?;
        // Only the rows determine the weights, so that the fit is the same for every target.
        let fit = |more_robust| settings.model.map(|model| CrossFit { model, folds: settings.folds, more_robust });
        let plain = fit(false).filter(|_| !targets.is_empty());
        let models = plain.map(|fit| Ok((fit, fit.fit(log, &own)?))).transpose()?;
        for target in targets {
            let more_robust = fit(true).filter(|_| !unknown);
            table.add_target(target, log, models.as_ref(), more_robust, rng)?;
        }
        Ok(Self { rows: table.rows, level: settings.level, warnings })
    }

    /// Recommendation whether a policy should replace the logging policy. It is [`Verdict::Deploy`] if the confidence
    /// interval of the policy's gain over the logging policy is above 0. The gain is estimated by `DR`, or by `SNIPS`
    /// in a table without a reward model. `None` if the table does not contain the policy.
    ///
    /// The confidence level holds for one policy and one evaluation that was planned before the log was recorded. To
    /// evaluate a growing log repeatedly, use [`anytime_verdict`](Self::anytime_verdict). To select the best of k
    /// policies, set the level of the table to 1 − (1 − level)/k.
    pub fn verdict(&self, policy: &str) -> Option<Verdict> {
        let named = |name: &str| self.rows.iter().find(|row| row.policy == policy && row.estimator == name);
        let row = named("DR").or_else(|| named("SNIPS")).or_else(|| named("DM"))?;
        row.gain.map(|gain| Verdict::new(gain.low, gain.high))
    }

    /// Recommendation whether a policy should replace the logging policy, by the anytime-valid interval of the policy's
    /// gain. It may be computed repeatedly on a growing log, until it is [`Verdict::Deploy`] or [`Verdict::Reject`].
    /// `None` without a [reward range](EvaluationSettings::reward_range), or if the table does not contain the policy.
    pub fn anytime_verdict(&self, policy: &str) -> Option<Verdict> {
        let row = self.rows.iter().find(|row| row.policy == policy && row.gain_sequence.is_some())?;
        row.gain_sequence.as_ref().map(|interval| Verdict::new(*interval.start(), *interval.end()))
    }

    /// Finds the first row of a policy whose estimator name begins with `estimator`. For example, `"switch-DR"` finds
    /// `switch-DR(4.2)`. The rows of a policy have these estimators, in this order:
    ///
    /// * `mean` for the logging policy, whose name is `"(the log)"`;
    /// * `IPS`, `SNIPS`, `clipped IPS(…)` for every other policy;
    /// * with a [reward model](EvaluationSettings::model) also `DM`, `DR`, `SNDR`, `switch-DR(…)`, `DRos(…)`, `MRDR`.
    ///
    /// `"DR"` finds `DR`, because `DRos(…)` comes later. `DRps` is not in the table.
    pub fn row(&self, policy: &str, estimator: &str) -> Option<&EvaluationRow> {
        self.rows.iter().find(|row| row.policy == policy && row.estimator.starts_with(estimator))
    }

    /// Formats the table as Markdown, followed by the warnings. Missing values, such as the interval of an estimator
    /// with a bias, are "–". The verdict in the row `IPS` is the anytime-valid one.
    pub fn to_markdown(&self) -> String {
        let percent = format!("{} %", (self.level * 1e4).round() / 1e2);
        let mut table = format!(
            "| policy | estimator | value | {percent} | bootstrap | anytime | gain | {percent} | anytime | verdict | \
             effective samples | largest weight | mean weight | unsupported |\n|{}\n",
            "---|".repeat(14)
        );
        let interval = |interval: Option<&RangeInclusive<f64>>| match interval {
            None => "–".to_owned(),
            Some(interval) if interval.is_empty() => "empty".to_owned(),
            Some(interval) => format!("{:.3} to {:.3}", interval.start(), interval.end()),
        };
        let of_estimate = |estimate: &Estimate| {
            interval(Some(estimate.low..=estimate.high).filter(|_| estimate.has_interval()).as_ref())
        };
        for row in &self.rows {
            let EvaluationRow { policy, estimator, estimate, bootstrap, sequence, gain, gain_sequence } = row;
            let Estimate { value, effective_samples, largest_weight, mean_weight, unsupported, .. } = estimate;
            let (gained, paired) = match gain {
                Some(gain) => (format!("{:.3}", gain.value), of_estimate(gain)),
                None => ("–".to_owned(), "–".to_owned()),
            };
            // Each verdict is shown in the row of the interval that it is based on.
            let verdict = match (estimator.as_str(), gain) {
                ("DR", Some(_)) => self.verdict(policy),
                ("SNIPS", Some(_)) if self.row(policy, "DM").is_none() => self.verdict(policy),
                ("IPS", Some(_)) => self.anytime_verdict(policy),
                _ => None,
            };
            let verdict = verdict.map_or("–".to_owned(), |verdict| verdict.to_string());
            let (bootstrap, sequence) = (interval(bootstrap.as_ref()), interval(sequence.as_ref()));
            let (own, gain_sequence) = (of_estimate(estimate), interval(gain_sequence.as_ref()));
            let policy = policy.replace(['|', '\n'], " ");
            // Writing to a string cannot fail.
            let _ = writeln!(
                table,
                "| {policy} | {estimator} | {value:.3} | {own} | {bootstrap} | {sequence} | {gained} | {paired} | \
                 {gain_sequence} | {verdict} | {effective_samples:.0} | {largest_weight:.1} | {mean_weight:.2} | \
                 {unsupported:.2} |"
            );
        }
        if !self.warnings.is_empty() {
            table.push('\n');
        }
        for warning in &self.warnings {
            let _ = writeln!(table, "Warning: {warning}.");
        }
        table
    }
}
