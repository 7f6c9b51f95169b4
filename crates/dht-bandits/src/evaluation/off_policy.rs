//! Off-policy estimators: the value of one policy from the log of another.

use super::estimate::{Estimate, LoggedRound, check_overlap, check_round, estimate, weigh};
use crate::error::{Error, Result};
use crate::validate::check_parameter;

/// The estimators over one log.
///
/// Estimates are finite: a log whose values could overflow is refused whole, and so is, by all but the direct method, a
/// log in which the evaluated policy never does what was logged, of whose value nothing is known.
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
/// use dht_bandits::evaluation::{LoggedRound, OffPolicy};
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
    /// Fewer than two rounds, a propensity outside (0, 1], a target outside [0, 1], a value that is not finite; a
    /// reward, a prediction or a weight beyond ±1e50.
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
