//! Off-policy evaluation of several policies from one log, with all estimators in one table.

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

/// Settings of an [`Evaluation`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct EvaluationSettings {
    /// Reward model of the direct and the doubly robust estimators. `None` leaves these estimators out. The default is
    /// a [ridge regression](OutcomeModel::Ridge) for each arm, with a prior precision of 1.
    pub model: Option<OutcomeModel>,
    /// Number of folds of the reward model's [cross-fitting](OutcomeModel::cross_fit), at least 2. 5 by default.
    pub folds: usize,
    /// Level of each single interval, in (0, 1); .95 by default.
    pub level: f64,
    /// Model that estimates the propensities that rows of the log lack. By default it is `None`, and a log that has no
    /// propensities is judged by the direct method alone. In both cases, the result of such a log has a
    /// [warning](Evaluation::warnings).
    pub propensity_model: Option<PropensityModel>,
    /// Number of bootstrap resamples, at least 40 and 2/(1 − level). The default 0 computes no bootstrap intervals.
    pub resamples: usize,
    /// Smallest and largest possible reward, for confidence sequences. The default `None` computes no sequences.
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

/// Estimate of one policy by one estimator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRow {
    /// Name of the policy.
    pub policy: String,
    /// Name of the estimator, from the table of [`Estimator`], with its parameter if it has one: `SNIPS`,
    /// `switch-DR(4.2)`. There are two more names: `MRDR` (see [`Evaluation::run`]), and `mean` for the logging policy.
    pub estimator: String,
    /// Estimate with its asymptotic interval and its support. Estimators with a bias have no interval.
    pub estimate: Estimate,
    /// Bootstrap interval; `None` without resamples, or if the estimate has no interval.
    pub bootstrap: Option<RangeInclusive<f64>>,
    /// Anytime-valid interval by importance weighting; `None` for the logging policy, which may have learned.
    pub sequence: Option<RangeInclusive<f64>>,
    /// [Gain](OffPolicy::gain) over the logging policy, with a paired interval; `None` for the logging policy.
    pub gain: Option<Estimate>,
    /// Anytime-valid interval of the [gain](ConfidenceSequence::gain); `None` without [`sequence`](Self::sequence).
    pub gain_sequence: Option<RangeInclusive<f64>>,
}

/// Answer to the question whether a policy should replace the logging policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The interval of the gain is above 0: the policy earns more than the logging policy.
    Deploy,
    /// The interval of the gain is below 0: the policy earns less than the logging policy.
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

/// Reason to doubt the estimates of an [`Evaluation`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EvaluationWarning {
    /// No row of the log has a propensity: only the direct method estimates values, and its error is unknown.
    NoPropensities,
    /// Some propensities are estimates. The standard errors of policies' values do not include the errors of
    /// propensities.
    EstimatedPropensities {
        /// Number of rows with an estimated propensity.
        rows: usize,
    },
    /// A policy has learned, and the caller did not state from which rows ([`Target::trained_on`]).
    UnknownTraining {
        /// Name of the policy.
        policy: String,
        /// Number of rewards that it has learned.
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

/// All estimates of several policies from one log.
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
    /// Rows of the table, policy by policy. The first row is the logging policy's own mean reward.
    pub rows: Vec<EvaluationRow>,
    /// Level of the intervals.
    pub level: f64,
    /// Reasons to doubt the estimates.
    pub warnings: Vec<EvaluationWarning>,
}

/// Name of the logging policy in tables.
const THE_LOG: &str = "(the log)";

/// Name of the doubly robust estimate whose model is fitted to few rows of large weight. Its interval covers too
/// seldom, .92 instead of .95, and is not stated.
const MRDR: &str = "MRDR";

struct Table<'a> {
    settings: &'a EvaluationSettings,
    rows: Vec<EvaluationRow>,
}

impl Table<'_> {
    /// Adds the rows of one policy. In a log without propensities, the direct method has the only row.
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
    /// Evaluates policies from a log with several estimators. Without a reward model these are IPS, SNIPS and clipped
    /// IPS. With a model DM, DR, SNDR, switch-DR, DRos and MRDR are added. [SLOPE](OffPolicy::slope) selects the
    /// parameters of clipped IPS, switch-DR and DRos. MRDR is DR with a model that is [fitted for
    /// it](OutcomeModel::cross_fit_mrdr). Intervals are stated for IPS, SNIPS, DR and SNDR.
    ///
    /// A log without any propensity is judged by DM alone, or by estimated propensities
    /// ([`propensity_model`](EvaluationSettings::propensity_model)). Both ways add a [warning](Self::warnings).
    ///
    /// Time grows with the number of rows times the number of arms, and less than linearly in the arms. In addition to
    /// the log, memory holds a few hundred bytes per row. Each target is asked for its probabilities row by row, once
    /// without a model and three times with one.
    ///
    /// # Errors
    /// * Fails if there are fewer than two rows, or fewer rows than folds, or if a row is invalid.
    /// * Fails if a reward is outside the reward range of the settings, or if the level is outside (0, 1).
    /// * Errors of a policy, with the number of the round.
    /// * [`Error::NoOverlap`] if a policy never takes a logged action.
    /// * [`Error::DuplicateName`] if two policies have the same name, or if one has the name of the log.
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

    /// Verdict on a policy by the paired interval of its gain over the logging policy, at the level of the table.
    /// [`Verdict::Deploy`] requires a lower end above 0. The interval is that of `DR`, or of `SNIPS` in a table without
    /// a model. `None` if the table does not have the policy.
    ///
    /// The level is valid for one look at one policy, planned before the log. For repeated looks at a growing log use
    /// [`anytime_verdict`](Self::anytime_verdict). For the best of k policies, set the table's level to 1 − (1 −
    /// level)/k.
    pub fn verdict(&self, policy: &str) -> Option<Verdict> {
        let named = |name: &str| self.rows.iter().find(|row| row.policy == policy && row.estimator == name);
        let row = named("DR").or_else(|| named("SNIPS")).or_else(|| named("DM"))?;
        row.gain.map(|gain| Verdict::new(gain.low, gain.high))
    }

    /// Verdict on a policy by the anytime-valid interval of its gain. It remains valid if it is computed again and
    /// again on a growing log until the verdict is [`Verdict::Deploy`] or [`Verdict::Reject`]. `None` without a [reward
    /// range](EvaluationSettings::reward_range), or if the table does not have the policy.
    pub fn anytime_verdict(&self, policy: &str) -> Option<Verdict> {
        let row = self.rows.iter().find(|row| row.policy == policy && row.gain_sequence.is_some())?;
        row.gain_sequence.as_ref().map(|interval| Verdict::new(*interval.start(), *interval.end()))
    }

    /// Finds the first row of a policy whose estimator's name begins with `estimator`: `"switch-DR"` finds
    /// `switch-DR(4.2)`. The estimators of each policy, in the order of the rows:
    ///
    /// * `mean` for the logging policy, whose name is `"(the log)"`;
    /// * `IPS`, `SNIPS`, `clipped IPS(…)` for every other policy;
    /// * `DM`, `DR`, `SNDR`, `switch-DR(…)`, `DRos(…)`, `MRDR` as well, with a [model](EvaluationSettings::model).
    ///
    /// `"DR"` finds `DR`, because `DRos(…)` comes later. The table has no row for `DRps`.
    pub fn row(&self, policy: &str, estimator: &str) -> Option<&EvaluationRow> {
        self.rows.iter().find(|row| row.policy == policy && row.estimator.starts_with(estimator))
    }

    /// Formats the table in Markdown, with "–" for missing values such as an interval of an estimator with a bias. The
    /// verdict in the row `IPS` is the anytime-valid one. Warnings follow the table.
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
