//! Estimates in one pass over a log, in constant memory.

use super::confidence_sequence::ConfidenceSequence;
use super::estimate::{Estimate, LoggedRound, Support, check_counts_once, check_overlap, check_round, from_moments};
use crate::error::{Error, Result};
use std::ops::RangeInclusive;

/// Running estimates, updated round by round: inverse propensities, self-normalised, doubly robust if rounds have
/// predictions, and a confidence sequence. Values agree with [`OffPolicy`](super::OffPolicy) over the same rounds up to
/// rounding.
#[derive(Debug, Clone)]
pub struct RunningEstimates {
    rounds: usize,
    largest_weight: f64,
    unsupported: f64,
    /// Moments of w·r, and of the terms of the doubly robust estimate.
    weighted: Moments,
    robust: Moments,
    /// Moments of the rewards weighted by w, whose mean is Σwr/Σw, and by w², for the delta method.
    rewards: Moments,
    spread: Moments,
    /// First round without a prediction.
    without_model: Option<usize>,
    sequence: Option<ConfidenceSequence>,
}

/// Weighted mean and sum of squared deviations (Welford 1962; with weights, West 1979). No difference of large sums
/// loses the digits of a small spread.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    /// Sum of the weights.
    weight: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn push(&mut self, value: f64, weight: f64) {
        if weight > 0.0 {
            self.weight += weight;
            let before = value - self.mean;
            self.mean += before * weight / self.weight;
            self.squares += weight * before * (value - self.mean);
        }
    }

    /// Standard error of a mean of unit weights.
    fn error(&self) -> f64 {
        (self.squares / (self.weight * (self.weight - 1.0))).sqrt()
    }

    /// Weighted sum of squared deviations from a number.
    fn squares_about(&self, centre: f64) -> f64 {
        let gap = self.mean - centre;
        self.squares + self.weight * gap * gap
    }
}

impl RunningEstimates {
    /// Creates estimates without rounds; with a sequence, rewards must stay in its range.
    pub fn new(sequence: Option<ConfidenceSequence>) -> Self {
        Self {
            rounds: 0,
            largest_weight: 0.0,
            unsupported: 0.0,
            weighted: Moments::default(),
            robust: Moments::default(),
            rewards: Moments::default(),
            spread: Moments::default(),
            without_model: None,
            sequence,
        }
    }

    /// Adds a round.
    ///
    /// # Errors
    /// Errors of [`OffPolicy::new`](super::OffPolicy::new) and [`ConfidenceSequence::push`]; a round with a
    /// [drop probability](LoggedRound::drop_probability). Nothing changes then.
    pub fn push(&mut self, round: &LoggedRound) -> Result<()> {
        check_round(self.rounds, round)?;
        check_counts_once(round)?;
        let weight = round.weight_for("a running estimate", self.rounds)?;
        if let Some(sequence) = &mut self.sequence {
            sequence.push(round)?;
        }
        let reward = round.reward;
        self.largest_weight = self.largest_weight.max(weight);
        self.unsupported += round.unsupported;
        self.weighted.push(weight * reward, 1.0);
        self.rewards.push(reward, weight);
        self.spread.push(reward, weight * weight);
        match round.prediction {
            Some(prediction) => self.robust.push(prediction.expected + weight * (reward - prediction.logged), 1.0),
            None => self.without_model = self.without_model.or(Some(self.rounds)),
        }
        self.rounds += 1;
        Ok(())
    }

    fn support(&self) -> Result<Support> {
        if self.rounds < 2 {
            return Err(Error::TooFewObservations { what: "an estimate", needed: 2, got: self.rounds });
        }
        let (weights, squared_weights) = (self.rewards.weight, self.spread.weight);
        check_overlap(0, weights)?;
        let count = self.rounds as f64;
        Ok(Support {
            effective_samples: weights * weights / squared_weights,
            largest_weight: self.largest_weight,
            mean_weight: weights / count,
            unsupported: self.unsupported / count,
        })
    }

    /// Number of rounds added.
    pub fn rounds(&self) -> usize {
        self.rounds
    }

    /// [`Estimator::InversePropensity`](super::Estimator::InversePropensity).
    ///
    /// # Errors
    /// Fewer than two rounds; [`Error::NoOverlap`]; values that overflow.
    pub fn inverse_propensity(&self) -> Result<Estimate> {
        from_moments(self.weighted.mean, self.weighted.error(), self.rounds, self.support()?)
    }

    /// [`Estimator::SelfNormalised`](super::Estimator::SelfNormalised).
    ///
    /// # Errors
    /// Errors of [`inverse_propensity`](Self::inverse_propensity).
    pub fn self_normalised(&self) -> Result<Estimate> {
        let support = self.support()?;
        let (count, value) = (self.rounds as f64, self.rewards.mean);
        // Σw²(r − value)², by the delta method.
        let squares = self.spread.squares_about(value);
        let error = (squares / (count * (count - 1.0))).sqrt() / support.mean_weight;
        from_moments(value, error, self.rounds, support)
    }

    /// [`Estimator::DoublyRobust`](super::Estimator::DoublyRobust).
    ///
    /// # Errors
    /// Errors of [`inverse_propensity`](Self::inverse_propensity); [`Error::NoModel`].
    pub fn doubly_robust(&self) -> Result<Estimate> {
        let support = self.support()?;
        match self.without_model {
            Some(round) => Err(Error::NoModel { estimator: "DR", round }),
            None => from_moments(self.robust.mean, self.robust.error(), self.rounds, support),
        }
    }

    /// Interval of the confidence sequence, if there is one.
    pub fn sequence(&self) -> Option<RangeInclusive<f64>> {
        self.sequence.as_ref().map(ConfidenceSequence::interval)
    }
}
