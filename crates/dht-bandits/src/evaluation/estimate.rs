//! Estimates with confidence intervals and support, and the logged rounds from which they are computed.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::level::two_sided_quantile;
use crate::arm::ArmId;
use crate::decision::Propensity;
use crate::error::{Error, Result};
use crate::log::{check_drop_probability, check_logged_propensity};
use crate::validate::{check_parameter, check_scalar};

/// Prediction of a reward model in one logged round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Predicted reward q̂(x, a) of the logged arm a.
    pub logged: f64,
    /// Predicted value of the evaluated policy in this round, Σ_a π(a|x) q̂(x, a).
    pub expected: f64,
}

/// Logged round, with the probability that the evaluated policy chooses the logged arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LoggedRound {
    /// Reward of the logged arm.
    pub reward: f64,
    /// Probability with which the logging policy chose that arm, in (0, 1]. `None` if it is unknown: only the direct
    /// method can then use the round.
    pub propensity: Option<f64>,
    /// Probability with which the evaluated policy would choose that arm, in [0, 1].
    pub target: f64,
    /// Prediction of a reward model, if there is one.
    #[serde(default)]
    pub prediction: Option<Prediction>,
    /// Probability that the evaluated policy gives to arms that the logging policy never chooses in this context. Only
    /// the arms of which this is known are counted. The value is 0 if nothing is known.
    #[serde(default)]
    pub unsupported: f64,
    /// Probability p with which the log leaves out a round like this one
    /// ([`LoggedDecision::drop_probability`](crate::log::LoggedDecision::drop_probability)). The round counts 1/(1 − p)
    /// times.
    #[serde(default)]
    pub drop_probability: f64,
}

impl LoggedRound {
    /// Creates a round without a reward model. Such a round suffices for inverse propensity scoring, not for the direct
    /// method.
    pub fn new(reward: f64, propensity: impl Into<Option<f64>>, target: f64) -> Self {
        let propensity = propensity.into();
        Self { reward, propensity, target, prediction: None, unsupported: 0.0, drop_probability: 0.0 }
    }

    /// Creates a round from the evaluated policy's probabilities of all arms and a reward model.
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

    /// Number of times that the round counts, because of its drop probability.
    pub(super) fn row_weight(&self) -> f64 {
        1.0 / (1.0 - self.drop_probability)
    }

    /// Importance weight π(a|x)/p: the evaluated policy's probability of the logged arm, divided by its propensity p.
    /// `None` without a propensity.
    pub fn weight(&self) -> Option<f64> {
        self.propensity.map(|propensity| self.target / propensity)
    }

    /// Importance weight of the round, for an estimator that requires it.
    ///
    /// # Errors
    /// [`Error::NoPropensity`] if the round has no propensity.
    pub(super) fn weight_for(&self, estimator: &'static str, round: usize) -> Result<f64> {
        self.weight().ok_or(Error::NoPropensity { estimator, round })
    }
}

/// Estimated value of a policy (its expected reward per round), or the difference of two values.
///
/// The interval from [`low`](Self::low) to [`high`](Self::high) covers the true value in about 95 % of logs, or at the
/// level of [`at_level`](Self::at_level). It reaches from −∞ to ∞ if the rounds do not show the whole error:
/// * An estimator with a bias ([`Estimator::has_interval`](super::Estimator::has_interval)): the direct method, and
///   weights that are clipped, switched or shrunk.
/// * A few rounds dominate, as with large weights and rare rewards: fewer than 50
///   [`effective_samples`](Self::effective_samples), or a [`skewness`](Self::skewness) beyond ±.6. A
///   [`ConfidenceSequence`](super::ConfidenceSequence) is valid for such logs.
/// * The rounds have no spread at all: a hundred rewards of 0 do not prove a rate of 0.
///
/// A test such as `estimate.low > 0.0` is then false.
///
/// The ends are value − T(±t)·standard error. t is the quantile of Student's distribution whose degrees of freedom are
/// the effective samples minus 1. T(x) = (3/s)·(∛(1 + s·(x − s/6)) − 1) is Hall's correction for skewness (1992, "On
/// the removal of skewness by transformation"). s is half of the skewness, since the whole correction covers too much
/// with rare clicks. `docs/estimators.md` lists the coverage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Estimate {
    /// Value of the estimate.
    pub value: f64,
    /// Standard error over the rounds (for self-normalised estimates by the delta method). It does not include the
    /// errors of a fitted model and of a selected parameter: see [`has_interval`](super::Estimator::has_interval).
    pub standard_error: f64,
    /// Lower end of the confidence interval; −∞ without an interval (`null` in JSON).
    #[serde(serialize_with = "write_end", deserialize_with = "read_low")]
    pub low: f64,
    /// Upper end of the confidence interval; ∞ without an interval (`null` in JSON).
    #[serde(serialize_with = "write_end", deserialize_with = "read_high")]
    pub high: f64,
    /// Skewness of the estimate, Σd³/(Σd²)^1.5 of the rounds' deviations d. It is 0 for a normal distribution, and 0 if
    /// there are no deviations.
    pub skewness: f64,
    /// Effective sample size (Σw)²/Σw² of the importance weights w: the number of rounds of the evaluated policy itself
    /// that would be as informative. An estimate with a small effective sample size is unreliable.
    pub effective_samples: f64,
    /// Number of logged rounds.
    pub rounds: usize,
    /// Largest importance weight that the estimator uses.
    pub largest_weight: f64,
    /// Mean importance weight. Its expectation is 1 minus the fraction of the evaluated policy's choices that the
    /// logging policy never makes: a mean far below 1 indicates missing support. It is 0 for rounds without a
    /// propensity.
    pub mean_weight: f64,
    /// Mean of [`LoggedRound::unsupported`] over the rounds.
    pub unsupported: f64,
}

/// Writes an end of an interval. An infinite end is written as null, since JSON has no infinity.
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
    /// Returns whether the estimate has an interval.
    pub fn has_interval(&self) -> bool {
        self.low.is_finite()
    }

    /// Returns the estimate with its interval at another level.
    ///
    /// # Errors
    /// Fails if the level is outside (0, 1).
    pub fn at_level(self, level: f64) -> Result<Self> {
        let normal = two_sided_quantile(level)?;
        Ok(if self.has_interval() { self.with_interval(normal) } else { self })
    }

    /// Returns the estimate with the interval that a quantile of the normal distribution defines.
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

    /// Returns the estimate without an interval.
    pub(super) fn without_interval(self) -> Self {
        Self { low: f64::NEG_INFINITY, high: f64::INFINITY, ..self }
    }
}

/// Largest skewness of an estimate with an interval. Beyond it, the skewness itself is hardly known.
const LARGEST_SKEWNESS: f64 = 0.6;

/// Smallest effective sample size of an estimate with an interval.
const LEAST_SAMPLES: f64 = 50.0;

/// 97.5 % quantile of the normal distribution.
pub(super) const NORMAL_975: f64 = 1.959_963_984_540_054;

/// Largest accepted reward, prediction and importance weight of a log, so that squares of their products do not
/// overflow.
const LARGEST_LOGGED: f64 = 1e50;

/// Smallest sum of importance weights. Below it, the evaluated policy practically never takes a logged action.
const LEAST_WEIGHTS: f64 = 1e-6;

/// Refuses a round with a drop probability, for estimators that count each round once.
pub(super) fn check_counts_once(entry: &LoggedRound) -> Result<()> {
    check_parameter(
        "drop probability",
        entry.drop_probability,
        entry.drop_probability == 0.0,
        "0 here: use `OffPolicy`",
    )
}

/// Support that a log gives to an estimate: effective sample size, and the size of the importance weights.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Support {
    pub(super) effective_samples: f64,
    pub(super) largest_weight: f64,
    pub(super) mean_weight: f64,
    pub(super) unsupported: f64,
}

impl Support {
    /// Computes the support of an estimate from the importance weights that the estimator uses.
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

/// Computes an estimate from a value and the independent deviations of its terms.
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

/// Creates an estimate with its interval, from the sums of squares and cubes of its terms' deviations.
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

/// Refuses a logged value that is not finite or too large.
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
