//! Estimates with confidence intervals and support, and the logged rounds that they are computed from.

use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::log::{check_drop_probability, check_logged_propensity};
use crate::policy::Propensity;
use crate::validate::{check_parameter, check_scalar};
use serde::{Deserialize, Serialize};

/// What a reward model predicts in one logged round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// q̂(x, a) of the logged arm a.
    pub logged: f64,
    /// The model's value of the evaluated policy here, Σ_a π(a|x) q̂(x, a).
    pub expected: f64,
}

/// One logged round, with what the evaluated policy would have done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LoggedRound {
    /// The reward of the logged arm.
    pub reward: f64,
    /// The probability with which the logging policy chose that arm, in (0, 1]; `None` where it is not known: enough for the
    /// direct method alone.
    pub propensity: Option<f64>,
    /// The probability with which the evaluated policy would choose it, in [0, 1].
    pub target: f64,
    /// What a reward model predicts, where there is one.
    #[serde(default)]
    pub prediction: Option<Prediction>,
    /// The probability that the evaluated policy gives to arms that the logging policy never chooses here, as far as
    /// that is known; 0 where it is not.
    #[serde(default)]
    pub unsupported: f64,
    /// The probability with which the log leaves a round like this one out
    /// ([`LoggedDecision::drop_probability`](crate::log::LoggedDecision::drop_probability)): it counts 1/(1 − p) times.
    #[serde(default)]
    pub drop_probability: f64,
}

impl LoggedRound {
    /// A round without a reward model: enough for inverse propensities, not for the direct method.
    pub fn new(reward: f64, propensity: impl Into<Option<f64>>, target: f64) -> Self {
        let propensity = propensity.into();
        Self { reward, propensity, target, prediction: None, unsupported: 0.0, drop_probability: 0.0 }
    }

    /// A round with the evaluated policy's probabilities of all arms, and a reward model.
    pub fn with_model(
        arm: ArmId,
        reward: f64,
        propensity: impl Into<Option<f64>>,
        target: &[Propensity],
        model: impl Fn(ArmId) -> f64,
    ) -> Self {
        let of_arm = target.iter().find(|entry| entry.arm == arm).map_or(0.0, |entry| entry.probability);
        let expected = target.iter().map(|entry| entry.probability * model(entry.arm)).sum();
        let prediction = Some(Prediction { logged: model(arm), expected });
        Self { prediction, ..Self::new(reward, propensity, of_arm) }
    }

    /// Number of times that the round counts.
    pub(super) fn row_weight(&self) -> f64 {
        1.0 / (1.0 - self.drop_probability)
    }

    /// π(a|x)/p, the importance weight; `None` without a propensity.
    pub fn weight(&self) -> Option<f64> {
        self.propensity.map(|propensity| self.target / propensity)
    }

    /// The importance weight for an estimator that needs it.
    ///
    /// # Errors
    /// [`Error::NoPropensity`].
    pub(super) fn weight_for(&self, estimator: &'static str, round: usize) -> Result<f64> {
        self.weight().ok_or(Error::NoPropensity { estimator, round })
    }
}

/// An estimated value of a policy: the reward a round that it would have earned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Its standard error (for self-normalised estimates by the delta method).
    pub standard_error: f64,
    /// The lower end of the 95 % confidence interval, value − 1.96 standard errors.
    ///
    /// Asymptotic: where few rounds carry most of the weight it is too short. Look at
    /// [`effective_samples`](Self::effective_samples), and below some 50 of them use a
    /// [`ConfidenceSequence`](super::ConfidenceSequence).
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// (Σw)²/Σw²: the effective sample size, in rounds of the evaluated policy itself. Distrust an estimate where it is
    /// small.
    pub effective_samples: f64,
    /// The number of logged rounds.
    pub rounds: usize,
    /// The largest weight that the estimator uses.
    pub largest_weight: f64,
    /// The mean importance weight. Its expectation is 1 less the share of the evaluated policy's choices that the
    /// logging policy never makes: a mean far below 1 means missing support. Of rounds without a propensity it is 0.
    pub mean_weight: f64,
    /// The mean over rounds of [`LoggedRound::unsupported`].
    pub unsupported: f64,
}

/// The 97.5 % quantile of the normal distribution.
pub(super) const NORMAL_975: f64 = 1.959_963_984_540_054;

/// Rewards, predictions and importance weights of a log are at most this, so that squares of their products do not
/// overflow.
const LARGEST_LOGGED: f64 = 1e50;

/// The smallest sum of importance weights: below it there is no overlap.
const LEAST_WEIGHTS: f64 = 1e-6;

/// Refuses a round that counts for more than itself, where each round must count once.
pub(super) fn check_counts_once(entry: &LoggedRound) -> Result<()> {
    check_parameter(
        "drop probability",
        entry.drop_probability,
        entry.drop_probability == 0.0,
        "0 here: use `OffPolicy`",
    )
}

/// How far a log supports an estimate.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Support {
    pub(super) effective_samples: f64,
    pub(super) largest_weight: f64,
    pub(super) mean_weight: f64,
    pub(super) unsupported: f64,
}

impl Support {
    /// Of weights that are used as they are.
    pub(super) fn of(weights: impl Iterator<Item = f64> + Clone) -> Self {
        let (mut sum, mut squares, mut largest, mut count) = (0.0, 0.0, 0.0f64, 0.0);
        for weight in weights {
            sum += weight;
            squares += weight * weight;
            largest = largest.max(weight);
            count += 1.0;
        }
        let effective_samples = if squares > 0.0 { sum * sum / squares } else { 0.0 };
        Self { effective_samples, largest_weight: largest, mean_weight: sum / f64::max(count, 1.0), unsupported: 0.0 }
    }
}

/// Value and interval of terms that are independent of each other.
///
/// # Errors
/// A value or a standard error that is not finite.
pub(super) fn estimate(
    value: f64,
    deviations: impl Iterator<Item = f64>,
    rounds: usize,
    support: Support,
) -> Result<Estimate> {
    let count = rounds as f64;
    let squares: f64 = deviations.map(|deviation| deviation * deviation).sum();
    of_moments(value, (squares / (count * (count - 1.0))).sqrt(), rounds, support)
}

/// An estimate with its normal interval.
///
/// # Errors
/// A value or a standard error that is not finite.
pub(super) fn of_moments(value: f64, standard_error: f64, rounds: usize, support: Support) -> Result<Estimate> {
    check_scalar("estimate", value)?;
    check_scalar("standard error", standard_error)?;
    let half = NORMAL_975 * standard_error;
    let Support { effective_samples, largest_weight, mean_weight, unsupported } = support;
    let (low, high) = (value - half, value + half);
    Ok(Estimate {
        value,
        standard_error,
        low,
        high,
        effective_samples,
        rounds,
        largest_weight,
        mean_weight,
        unsupported,
    })
}

pub(super) fn check_overlap(position: usize, weights: f64) -> Result<()> {
    if weights >= LEAST_WEIGHTS { Ok(()) } else { Err(Error::NoOverlap { position, weights }) }
}

/// Refuses a value of a log that is not finite or too large.
pub(super) fn check_logged(round: usize, what: &'static str, value: f64) -> Result<()> {
    check_scalar(what, value)?;
    let limit = LARGEST_LOGGED;
    if value.abs() <= limit { Ok(()) } else { Err(Error::LoggedRound { round, what, value, limit }) }
}

pub(super) fn check_round(round: usize, entry: &LoggedRound) -> Result<()> {
    check_logged_propensity(round, entry.propensity)?;
    check_drop_probability(entry.drop_probability)?;
    check_parameter("target", entry.target, (0.0..=1.0).contains(&entry.target), "in [0, 1]")?;
    let unsupported = entry.unsupported;
    check_parameter("unsupported", unsupported, (0.0..=1.0 + 1e-6).contains(&unsupported), "in [0, 1]")?;
    check_logged(round, "reward", entry.reward)?;
    if let Some(prediction) = entry.prediction {
        check_logged(round, "predicted", prediction.logged)?;
        check_logged(round, "expected", prediction.expected)?;
    }
    match entry.weight() {
        Some(value) if value > LARGEST_LOGGED => {
            Err(Error::LoggedRound { round, what: "weight", value, limit: LARGEST_LOGGED })
        }
        _ => Ok(()),
    }
}
