//! Estimates with confidence intervals, and the logged rounds that they are computed from.

use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::policy::Propensity;
use crate::validate::{check_parameter, check_scalar};
use serde::{Deserialize, Serialize};

/// One logged round, with what the evaluated policy would have done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LoggedRound {
    /// The reward of the logged arm.
    pub reward: f64,
    /// The probability with which the logging policy chose that arm, in (0, 1].
    pub propensity: f64,
    /// The probability with which the evaluated policy would choose it, in [0, 1].
    pub target: f64,
    /// A model's prediction q̂(x, a) for the logged arm; 0 without a model.
    pub predicted: f64,
    /// The model's value of the evaluated policy here, Σ_a π(a|x) q̂(x, a); 0 without a model.
    pub expected: f64,
}

impl LoggedRound {
    /// A round without a reward model: enough for inverse propensities, not for the direct method.
    pub fn new(reward: f64, propensity: f64, target: f64) -> Self {
        Self { reward, propensity, target, predicted: 0.0, expected: 0.0 }
    }

    /// A round with the evaluated policy's probabilities of all arms, and a reward model.
    pub fn with_model(
        arm: ArmId,
        reward: f64,
        propensity: f64,
        target: &[Propensity],
        model: impl Fn(ArmId) -> f64,
    ) -> Self {
        let of_arm = target.iter().find(|entry| entry.arm == arm).map_or(0.0, |entry| entry.probability);
        let expected = target.iter().map(|entry| entry.probability * model(entry.arm)).sum();
        Self { reward, propensity, target: of_arm, predicted: model(arm), expected }
    }

    /// π(a|x)/p, the importance weight.
    pub fn weight(&self) -> f64 {
        self.target / self.propensity
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
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// (Σw)²/Σw²: the effective sample size, in rounds of the evaluated policy itself. Distrust an estimate where it is
    /// small.
    pub effective_samples: f64,
    /// The number of logged rounds.
    pub rounds: usize,
}

/// The 97.5 % quantile of the normal distribution.
const NORMAL_975: f64 = 1.959_963_984_540_054;

/// Rewards, predictions and importance weights of a log are at most this, so that squares of their products do not
/// overflow.
const LARGEST_LOGGED: f64 = 1e50;

/// The smallest sum of importance weights: below it there is no overlap.
const LEAST_WEIGHTS: f64 = 1e-100;

/// Mean and interval of terms that are independent of each other.
pub(super) fn estimate(
    value: f64,
    deviations: impl Iterator<Item = f64>,
    rounds: usize,
    effective_samples: f64,
) -> Estimate {
    let count = rounds as f64;
    let squares: f64 = deviations.map(|deviation| deviation * deviation).sum();
    let standard_error = (squares / (count * (count - 1.0))).sqrt();
    let half = NORMAL_975 * standard_error;
    Estimate { value, standard_error, low: value - half, high: value + half, effective_samples, rounds }
}

/// Σw and (Σw)²/Σw².
pub(super) fn weigh(weights: impl Iterator<Item = f64>) -> (f64, f64) {
    let (sum, squares) = weights.fold((0.0, 0.0), |(sum, squares), weight| (sum + weight, squares + weight * weight));
    (sum, if squares > 0.0 { sum * sum / squares } else { 0.0 })
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
    let propensity = entry.propensity;
    if !(propensity > 0.0 && propensity <= 1.0) {
        return Err(Error::Propensity { round, propensity });
    }
    check_parameter("target", entry.target, (0.0..=1.0).contains(&entry.target), "in [0, 1]")?;
    check_logged(round, "reward", entry.reward)?;
    check_logged(round, "predicted", entry.predicted)?;
    check_logged(round, "expected", entry.expected)?;
    if entry.weight() <= LARGEST_LOGGED {
        return Ok(());
    }
    Err(Error::LoggedRound { round, what: "weight", value: entry.weight(), limit: LARGEST_LOGGED })
}
