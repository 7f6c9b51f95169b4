//! What would another policy have earned? Estimates from the log of the policy that ran.

use crate::arm::{ArmId, Available};
use crate::error::{Error, Result, check_parameter, check_scalar};
use crate::policy::{Policy, Propensity};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// One logged round, as seen by the policy to be evaluated.
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
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Its standard error (for self-normalised estimates by the delta method).
    pub standard_error: f64,
    /// The lower end of the 95 % confidence interval, value − 1.96 standard errors.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// (Σw)²/Σw²: how many rounds of the evaluated policy's own this log is worth. Small means: do not believe it.
    pub effective_samples: f64,
    /// How many rounds went in.
    pub rounds: usize,
}

/// The 97.5 % quantile of the normal distribution.
const NORMAL_975: f64 = 1.959_963_984_540_054;

/// Rewards, predictions and importance weights of a log are at most this, so that squares of their products do not overflow.
const LARGEST_LOGGED: f64 = 1e50;

/// Importance weights that sum up to less are none.
const LEAST_WEIGHTS: f64 = 1e-100;

/// Mean and interval of terms that are independent of each other.
fn estimate(value: f64, deviations: impl Iterator<Item = f64>, rounds: usize, effective_samples: f64) -> Estimate {
    let count = rounds as f64;
    let squares: f64 = deviations.map(|deviation| deviation * deviation).sum();
    let standard_error = (squares / (count * (count - 1.0))).sqrt();
    let half = NORMAL_975 * standard_error;
    Estimate { value, standard_error, low: value - half, high: value + half, effective_samples, rounds }
}

/// The estimators over one log.
///
/// Estimates are finite: a log whose numbers could overflow is refused whole, and so is, by all but the direct method, a log
/// in which the evaluated policy never does what was logged, of which nothing can be known.
///
/// | | bias | variance | needs |
/// |---|---|---|---|
/// | [`direct`](Self::direct) | the model's | least | a model |
/// | [`inverse_propensity`](Self::inverse_propensity) | none | large where policies differ | propensities |
/// | [`clipped`](Self::clipped) | downward, by what is clipped | less | propensities |
/// | [`self_normalised`](Self::self_normalised) | O(1/n) | less | propensities |
/// | [`doubly_robust`](Self::doubly_robust) | none if either is right | less, with a good model | both |
/// | [`self_normalised_doubly_robust`](Self::self_normalised_doubly_robust) | O(1/n) | least of the honest ones | both |
///
/// ```
/// use dht_bandits::{LoggedRound, OffPolicy};
///
/// // Two arms logged at one half each; arm 1 pays 1, arm 0 nothing. The evaluated policy always plays arm 1.
/// let log: Vec<_> = (0..100).map(|round| {
///     let played_one = round % 2 == 0;
///     LoggedRound::new(if played_one { 1.0 } else { 0.0 }, 0.5, if played_one { 1.0 } else { 0.0 })
/// }).collect();
/// let estimate = OffPolicy::new(&log)?.self_normalised()?;
/// assert_eq!(estimate.value, 1.0);
/// assert_eq!(estimate.effective_samples, 50.0);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct OffPolicy<'a> {
    rounds: &'a [LoggedRound],
}

impl<'a> OffPolicy<'a> {
    /// Checks a log.
    ///
    /// # Errors
    /// Fewer than two rounds, a propensity outside (0, 1], a target outside [0, 1], a number that is not finite; a reward, a
    /// prediction or a weight beyond ±1e50.
    pub fn new(rounds: &'a [LoggedRound]) -> Result<Self> {
        if rounds.len() < 2 {
            return Err(Error::TooFewObservations { what: "an estimate", needed: 2, got: rounds.len() });
        }
        for (round, entry) in rounds.iter().enumerate() {
            check_round(round, entry)?;
        }
        Ok(Self { rounds })
    }

    /// Σw and (Σw)²/Σw².
    ///
    /// # Errors
    /// No overlap.
    fn weigh(&self, weight: impl Fn(&LoggedRound) -> f64) -> Result<(f64, f64)> {
        check_overlap(0, self.rounds.iter().map(LoggedRound::weight).sum())?;
        Ok(weigh(self.rounds.iter().map(weight)))
    }

    fn mean(&self, term: impl Fn(&LoggedRound) -> f64, effective_samples: f64) -> Estimate {
        let count = self.rounds.len();
        let value = self.rounds.iter().map(&term).sum::<f64>() / count as f64;
        estimate(value, self.rounds.iter().map(|round| term(round) - value), count, effective_samples)
    }

    /// The ratio of two means, Σ w·t / Σ w, plus the mean of an offset.
    fn ratio(&self, term: impl Fn(&LoggedRound) -> f64, offset: impl Fn(&LoggedRound) -> f64) -> Result<Estimate> {
        let count = self.rounds.len();
        let (weights, effective_samples) = self.weigh(LoggedRound::weight)?;
        let shift = self.rounds.iter().map(&offset).sum::<f64>() / count as f64;
        let ratio = self.rounds.iter().map(|round| round.weight() * term(round)).sum::<f64>() / weights;
        let mean_weight = weights / count as f64;
        let deviations = self
            .rounds
            .iter()
            .map(|round| round.weight() * (term(round) - ratio) / mean_weight + offset(round) - shift);
        Ok(estimate(shift + ratio, deviations, count, effective_samples))
    }

    /// The direct method: the mean of the model's expectation.
    pub fn direct(&self) -> Estimate {
        self.mean(|round| round.expected, self.rounds.len() as f64)
    }

    /// Inverse propensity scoring, mean of w·r (Horvitz & Thompson 1952).
    ///
    /// # Errors
    /// [`Error::NoOverlap`]: all weights are zero.
    pub fn inverse_propensity(&self) -> Result<Estimate> {
        let (_, effective_samples) = self.weigh(LoggedRound::weight)?;
        Ok(self.mean(|round| round.weight() * round.reward, effective_samples))
    }

    /// IPS with weights of at most `largest` (Bottou et al. 2013).
    ///
    /// # Errors
    /// A bound that is not positive; as [`inverse_propensity`](Self::inverse_propensity).
    pub fn clipped(&self, largest: f64) -> Result<Estimate> {
        check_parameter("largest weight", largest, largest > 0.0, "positive")?;
        let weight = |round: &LoggedRound| round.weight().min(largest);
        let (_, effective_samples) = self.weigh(weight)?;
        Ok(self.mean(|round| weight(round) * round.reward, effective_samples))
    }

    /// Self-normalised IPS, Σwr/Σw (Swaminathan & Joachims 2015).
    ///
    /// # Errors
    /// As [`inverse_propensity`](Self::inverse_propensity).
    pub fn self_normalised(&self) -> Result<Estimate> {
        self.ratio(|round| round.reward, |_| 0.0)
    }

    /// Doubly robust, mean of the expectation + w·(r − q̂) (Dudík, Langford & Li 2011).
    ///
    /// # Errors
    /// As [`inverse_propensity`](Self::inverse_propensity).
    pub fn doubly_robust(&self) -> Result<Estimate> {
        let (_, effective_samples) = self.weigh(LoggedRound::weight)?;
        let term = |round: &LoggedRound| round.expected + round.weight() * (round.reward - round.predicted);
        Ok(self.mean(term, effective_samples))
    }

    /// Doubly robust with self-normalised weights.
    ///
    /// # Errors
    /// As [`inverse_propensity`](Self::inverse_propensity).
    pub fn self_normalised_doubly_robust(&self) -> Result<Estimate> {
        self.ratio(|round| round.reward - round.predicted, |round| round.expected)
    }
}

/// Σw and (Σw)²/Σw².
fn weigh(weights: impl Iterator<Item = f64>) -> (f64, f64) {
    let (sum, squares) = weights.fold((0.0, 0.0), |(sum, squares), weight| (sum + weight, squares + weight * weight));
    (sum, if squares > 0.0 { sum * sum / squares } else { 0.0 })
}

fn check_overlap(place: usize, weights: f64) -> Result<()> {
    if weights >= LEAST_WEIGHTS { Ok(()) } else { Err(Error::NoOverlap { place, weights }) }
}

/// Refuses a number of a log that is not finite or too large.
fn check_logged(round: usize, what: &'static str, value: f64) -> Result<()> {
    check_scalar(what, value)?;
    let limit = LARGEST_LOGGED;
    if value.abs() <= limit { Ok(()) } else { Err(Error::LoggedRound { round, what, value, limit }) }
}

fn check_round(round: usize, entry: &LoggedRound) -> Result<()> {
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

/// Logged slates: each holds one entry for each place, with that place's own propensity, target and reward.
///
/// The independent estimators take the places of a slate to be chosen, and rewarded, apart from each other: biased where
/// one place's reward depends on another's arm, but with weights that do not multiply along the slate (Li et al. 2018,
/// "Offline evaluation of ranking policies with click models", the item-position estimator).
#[derive(Debug, Clone, Copy)]
pub struct SlateOffPolicy<'a> {
    slates: &'a [Vec<LoggedRound>],
}

impl<'a> SlateOffPolicy<'a> {
    /// Checks a log of slates.
    ///
    /// # Errors
    /// As [`OffPolicy::new`].
    pub fn new(slates: &'a [Vec<LoggedRound>]) -> Result<Self> {
        if slates.len() < 2 {
            return Err(Error::TooFewObservations { what: "an estimate", needed: 2, got: slates.len() });
        }
        for (round, slate) in slates.iter().enumerate() {
            slate.iter().try_for_each(|entry| check_round(round, entry))?;
        }
        Ok(Self { slates })
    }

    /// (Σw)²/Σw² over all places.
    ///
    /// # Errors
    /// No overlap at any place.
    fn effective(&self) -> Result<f64> {
        let (sum, effective_samples) = weigh(self.slates.iter().flatten().map(LoggedRound::weight));
        check_overlap(0, sum)?;
        Ok(effective_samples)
    }

    /// The mean over slates of Σ_places w·r.
    ///
    /// # Errors
    /// [`Error::NoOverlap`]: all weights are zero.
    pub fn independent(&self) -> Result<Estimate> {
        let total = |slate: &Vec<LoggedRound>| slate.iter().map(|entry| entry.weight() * entry.reward).sum::<f64>();
        let (count, effective_samples) = (self.slates.len(), self.effective()?);
        let value = self.slates.iter().map(total).sum::<f64>() / count as f64;
        Ok(estimate(value, self.slates.iter().map(|slate| total(slate) - value), count, effective_samples))
    }

    /// The sum over places of Σwr/Σw there. Slates that are shorter count only in the places they have.
    ///
    /// # Errors
    /// [`Error::NoOverlap`]: all weights of a place are zero.
    pub fn independent_self_normalised(&self) -> Result<Estimate> {
        let places = self.slates.iter().map(Vec::len).max().unwrap_or(0);
        let (count, effective_samples) = (self.slates.len(), self.effective()?);
        let mut value = 0.0;
        let mut deviations = vec![0.0; count];
        for place in 0..places {
            let entries = || self.slates.iter().map(move |slate| slate.get(place));
            let shown = entries().flatten().count() as f64;
            let weights: f64 = entries().flatten().map(LoggedRound::weight).sum();
            check_overlap(place, weights)?;
            // A place that only some slates have adds its share of the time.
            let share = shown / count as f64;
            let ratio = entries().flatten().map(|entry| entry.weight() * entry.reward).sum::<f64>() / weights;
            value += share * ratio;
            let scale = share * count as f64 / weights;
            for (deviation, entry) in deviations.iter_mut().zip(entries()) {
                *deviation += entry.map_or(0.0, |entry| entry.weight() * (entry.reward - ratio) * scale);
            }
        }
        Ok(estimate(value, deviations.into_iter(), count, effective_samples))
    }
}

/// A round of a log whose arms were drawn uniformly: context, arm, reward.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayRound {
    /// The context.
    pub context: Vec<f64>,
    /// The arm that was drawn.
    pub arm: ArmId,
    /// What it gave.
    pub reward: f64,
}

/// Replay (Li et al. 2011): runs a learning policy through a log whose arms were drawn uniformly, keeps the rounds in
/// which it would have chosen the logged arm, and lets it learn from those. Unbiased for a policy that learns.
///
/// # Errors
/// A reward that is not finite or beyond ±1e50, before the policy learns anything; what the policy refuses, after it has
/// learned from the rounds before; fewer than two rounds kept.
pub fn replay(policy: &mut dyn Policy, log: &[ReplayRound], rng: &mut dyn Rng) -> Result<Estimate> {
    for (round, entry) in log.iter().enumerate() {
        check_logged(round, "reward", entry.reward)?;
    }
    let mut kept = Vec::new();
    for round in log {
        let choice = policy.select(&round.context, Available::All, rng)?;
        if choice.arm == round.arm {
            policy.update(round.arm, &round.context, round.reward, 1.0)?;
            kept.push(round.reward);
        }
    }
    let count = kept.len();
    if count < 2 {
        return Err(Error::TooFewObservations { what: "replay", needed: 2, got: count });
    }
    let value = kept.iter().sum::<f64>() / count as f64;
    Ok(estimate(value, kept.iter().map(|reward| reward - value), count, count as f64))
}
