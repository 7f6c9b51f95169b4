//! Off-policy estimates with confidence intervals, and the logged rounds from which they are computed.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::level::two_sided_quantile;
use crate::arm::ArmId;
use crate::decision::Propensity;
use crate::error::{Error, Result};
use crate::log::{check_drop_probability, check_logged_propensity};
use crate::validate::{check_parameter, check_scalar};

/// Predictions of a reward model for one logged round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Predicted reward q̂(x, a) of the logged arm a in the context x.
    pub logged: f64,
    /// Predicted expected reward of the evaluated policy π in this round, Σ_a π(a|x) q̂(x, a).
    pub expected: f64,
}

/// Logged round as off-policy estimators need it: reward and propensity from the log, and the evaluated policy's
/// probability of the logged arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LoggedRound {
    /// Reward of the logged arm.
    pub reward: f64,
    /// Probability with which the logging policy chose the logged arm, in (0, 1]. `None` if it is unknown: such a round
    /// can only be used by the direct method.
    pub propensity: Option<f64>,
    /// Probability with which the evaluated policy would choose the logged arm, in [0, 1].
    pub target: f64,
    /// Predictions of a reward model, if there is one.
    #[serde(default)]
    pub prediction: Option<Prediction>,
    /// Probability with which the evaluated policy chooses arms that the logging policy never chooses in this context.
    /// Only arms that are known to be never chosen count.
    #[serde(default)]
    pub unsupported: f64,
    /// Probability p that a row like this one was left out of the log
    /// ([`LoggedDecision::drop_probability`](crate::log::LoggedDecision::drop_probability)). To correct for this, the
    /// round counts 1/(1 − p) times.
    #[serde(default)]
    pub drop_probability: f64,
}

impl LoggedRound {
    /// Creates a round without predictions of a reward model. It is sufficient for inverse propensity scoring, but not
    /// for the direct method or doubly robust estimators.
    pub fn new(reward: f64, propensity: impl Into<Option<f64>>, target: f64) -> Self {
        let propensity = propensity.into();
        Self { reward, propensity, target, prediction: None, unsupported: 0.0, drop_probability: 0.0 }
    }

    /// Creates a round from a reward model and the evaluated policy's probabilities of all arms.
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

    /// Number of times that the round counts, 1/(1 − drop probability).
    pub(super) fn row_weight(&self) -> f64 {
        1.0 / (1.0 - self.drop_probability)
    }

    /// Importance weight π(a|x)/p: the evaluated policy's probability of the logged arm, divided by its propensity p.
    /// `None` if the propensity is unknown.
    pub fn weight(&self) -> Option<f64> {
        self.propensity.map(|propensity| self.target / propensity)
    }

    /// Importance weight of the round, or an error that names the estimator and the round.
    ///
    /// # Errors
    /// [`Error::NoPropensity`] if the round has no propensity.
    pub(super) fn weight_for(&self, estimator: &'static str, round: usize) -> Result<f64> {
        self.weight().ok_or(Error::NoPropensity { estimator, round })
    }
}

/// Estimated value of a policy (expected reward per round), or difference of two values, with a confidence interval.
///
/// The interval from [`low`](Self::low) to [`high`](Self::high) covers the true value for about 95 % of logs.
/// [`at_level`](Self::at_level) changes this level. The interval is −∞ to ∞ if the error cannot be estimated from the
/// rounds. There are three such cases:
/// * The estimator has a bias ([`Estimator::has_interval`](super::Estimator::has_interval)): the direct method, and
///   estimators that clip, switch or shrink importance weights.
/// * A few rounds dominate, for example because of large weights or rare rewards. The criterion is fewer than 50
///   [`effective_samples`](Self::effective_samples), or a [`skewness`](Self::skewness) beyond ±.6. A
///   [`ConfidenceSequence`](super::ConfidenceSequence) is valid for such logs.
/// * All rounds contribute the same: a hundred rewards of 0 do not prove a rate of 0.
///
/// A test such as `estimate.low > 0.0` is false in these cases.
///
/// The ends of the interval are value − T(±t)·standard error. t is the quantile of Student's distribution; its degrees
/// of freedom are the effective samples minus 1. T(x) = (3/s)·(∛(1 + s·(x − s/6)) − 1) is the correction for skewness
/// of Hall (1992, "On the removal of skewness by transformation"). s is half of the skewness, because the full
/// correction gives too wide intervals for rare clicks. `docs/estimators.md` lists the measured coverage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Estimate {
    /// Estimated value, or difference of values.
    pub value: f64,
    /// Standard error of `value`; for self-normalised estimates by the delta method. The errors of a fitted reward
    /// model and of a selected parameter are not included: see [`has_interval`](super::Estimator::has_interval).
    pub standard_error: f64,
    /// Lower end of the confidence interval; −∞ if there is no interval (`null` in JSON).
    #[serde(serialize_with = "write_end", deserialize_with = "read_low")]
    pub low: f64,
    /// Upper end of the confidence interval; ∞ if there is no interval (`null` in JSON).
    #[serde(serialize_with = "write_end", deserialize_with = "read_high")]
    pub high: f64,
    /// Skewness of the estimate: Σd³/(Σd²)^1.5 over the deviations d of the rounds. It is 0 for a normal distribution,
    /// and if all deviations are 0.
    pub skewness: f64,
    /// Effective sample size (Σw)²/Σw² of the importance weights w. About that many rounds of the evaluated policy
    /// itself would be as informative as the log. An estimate with a small effective sample size is unreliable.
    pub effective_samples: f64,
    /// Number of logged rounds.
    pub rounds: usize,
    /// Largest importance weight, after any clipping or shrinkage by the estimator.
    pub largest_weight: f64,
    /// Mean importance weight, or 0 for a log without propensities. Its expectation is 1 minus the probability with
    /// which the evaluated policy makes choices that the logging policy never makes. A mean far below 1 therefore
    /// indicates missing support.
    pub mean_weight: f64,
    /// Mean over the rounds of [`LoggedRound::unsupported`]: the probability of arms that the logging policy never
    /// chooses.
    pub unsupported: f64,
}

/// Serializes one end of a confidence interval. Infinity becomes null, because JSON has no infinity.
fn write_end<S: Serializer>(end: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Some(*end).filter(|end| end.is_finite()).serialize(serializer)
}

fn read_low<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NEG_INFINITY))
}

fn read_high<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
}

impl Estimate {
    /// Returns whether the estimate has a finite confidence interval.
    pub fn has_interval(&self) -> bool {
        self.low.is_finite()
    }

    /// Returns the estimate with a confidence interval at another level, such as .99.
    ///
    /// # Errors
    /// Fails if the level is outside (0, 1).
    pub fn at_level(self, level: f64) -> Result<Self> {
        let normal = two_sided_quantile(level)?;
        Ok(if self.has_interval() { self.with_interval(normal) } else { self })
    }

    /// Sets the confidence interval of the estimate. `normal` is a two-sided quantile of the normal distribution.
    fn with_interval(self, normal: f64) -> Self {
        let Self { value, standard_error, skewness, effective_samples, .. } = self;
        // Student's quantile by the first terms of its expansion, which are exact to 1e-5 for 49 or more degrees of
        // freedom.
        let (z, freedom) = (normal, effective_samples - 1.0);
        let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
        let quantile = z + (z.powi(3) + z) / (4.0 * freedom) + second / (freedom * freedom);
        let half = 0.5 * skewness;
        let end = |x: f64| {
            let corrected =
                if half.abs() < 1e-6 { x } else { 3.0 / half * ((1.0 + half * (x - half / 6.0)).cbrt() - 1.0) };
            value - standard_error * corrected
        };
        Self { low: end(quantile), high: end(-quantile), ..self }
    }

    pub(super) fn without_interval(self) -> Self {
        Self { low: f64::NEG_INFINITY, high: f64::INFINITY, ..self }
    }
}

/// Largest skewness of the rounds' deviations for which an interval is computed. Larger skewness cannot be estimated
/// well itself.
const LARGEST_SKEWNESS: f64 = 0.6;

/// Smallest effective sample size for which an interval is computed.
const LEAST_SAMPLES: f64 = 50.0;

/// 97.5 % quantile of the normal distribution.
pub(super) const NORMAL_975: f64 = 1.959_963_984_540_054;

/// Largest accepted magnitude of a logged reward, prediction or importance weight. Squares of products of two such
/// values do not overflow.
const LARGEST_LOGGED: f64 = 1e50;

/// Smallest accepted sum of importance weights. Below it, the evaluated policy practically never takes a logged action.
const LEAST_WEIGHTS: f64 = 1e-6;

/// Returns an error for a round with a drop probability; used by estimators that count each round once.
pub(super) fn check_counts_once(entry: &LoggedRound) -> Result<()> {
    check_parameter(
        "drop probability",
        entry.drop_probability,
        entry.drop_probability == 0.0,
        "0 here: use `OffPolicy`",
    )
}

/// Support of an estimate: effective sample size and importance weights, which show how well the log covers the
/// evaluated policy.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Support {
    pub(super) effective_samples: f64,
    pub(super) largest_weight: f64,
    pub(super) mean_weight: f64,
    pub(super) unsupported: f64,
}

impl Support {
    pub(super) fn from_weights(weights: impl Iterator<Item = f64> + Clone) -> Self {
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

/// Creates an estimate with its interval, from its value and the deviation of each round. Deviations are assumed to be
/// independent.
///
/// # Errors
/// Fails if the value or the standard error is not finite.
pub(super) fn estimate(
    value: f64,
    deviations: impl Iterator<Item = f64>,
    rounds: usize,
    support: Support,
) -> Result<Estimate> {
    let (mut squares, mut cubes) = (0.0, 0.0);
    for deviation in deviations {
        squares += deviation * deviation;
        cubes += deviation * deviation * deviation;
    }
    from_moments(value, squares, cubes, rounds, support)
}

/// Creates an estimate with its interval, from its value, the sum of squared deviations, and the sum of cubed
/// deviations of the rounds.
///
/// # Errors
/// Fails if the value or the standard error is not finite.
pub(super) fn from_moments(value: f64, squares: f64, cubes: f64, rounds: usize, support: Support) -> Result<Estimate> {
    let count = rounds as f64;
    let standard_error = (squares / (count * (count - 1.0))).sqrt();
    check_scalar("estimate", value)?;
    check_scalar("standard error", standard_error)?;
    // Without deviations, there is no skewness and no interval.
    let skewness = Some(cubes / squares / squares.sqrt()).filter(|skewness| skewness.is_finite());
    let Support { effective_samples, largest_weight, mean_weight, unsupported } = support;
    let estimate = Estimate {
        value,
        standard_error,
        low: f64::NEG_INFINITY,
        high: f64::INFINITY,
        skewness: skewness.unwrap_or(0.0),
        effective_samples,
        rounds,
        largest_weight,
        mean_weight,
        unsupported,
    };
    let spreads = (squares / count).sqrt() > 1e-10 * value.abs();
    let normal = spreads && skewness.is_some_and(|skewness| skewness.abs() <= LARGEST_SKEWNESS);
    Ok(if normal && effective_samples >= LEAST_SAMPLES { estimate.with_interval(NORMAL_975) } else { estimate })
}

pub(super) fn check_overlap(position: usize, weights: f64) -> Result<()> {
    if weights >= LEAST_WEIGHTS { Ok(()) } else { Err(Error::NoOverlap { position, weights }) }
}

/// Checks that a logged value is finite and within ±1e50.
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
