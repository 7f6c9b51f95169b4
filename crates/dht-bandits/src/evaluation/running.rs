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
    weights: f64,
    squared_weights: f64,
    largest_weight: f64,
    unsupported: f64,
    weighted: Moments,
    /// Sums Σw²r and, in `squares`, Σw²r²; the delta method needs them in addition to Σw².
    cross: f64,
    squares: f64,
    robust: Moments,
    /// First round without a prediction.
    without_model: Option<usize>,
    sequence: Option<ConfidenceSequence>,
}

/// Mean and sum of squared deviations (Welford 1962).
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn push(&mut self, value: f64) {
        self.count += 1.0;
        let before = value - self.mean;
        self.mean += before / self.count;
        self.squares += before * (value - self.mean);
    }

    fn error(&self) -> f64 {
        (self.squares / (self.count * (self.count - 1.0))).sqrt()
    }
}

impl RunningEstimates {
    /// Creates estimates without rounds; with a sequence, rewards must stay in its range.
    pub fn new(sequence: Option<ConfidenceSequence>) -> Self {
        Self {
            rounds: 0,
            weights: 0.0,
            squared_weights: 0.0,
            largest_weight: 0.0,
            unsupported: 0.0,
            weighted: Moments::default(),
            cross: 0.0,
            squares: 0.0,
            robust: Moments::default(),
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
        self.weights += weight;
        self.squared_weights += weight * weight;
        self.largest_weight = self.largest_weight.max(weight);
        self.unsupported += round.unsupported;
        self.weighted.push(weight * reward);
        self.cross += weight * weight * reward;
        self.squares += weight * weight * reward * reward;
        match round.prediction {
            Some(prediction) => self.robust.push(prediction.expected + weight * (reward - prediction.logged)),
            None => self.without_model = self.without_model.or(Some(self.rounds)),
        }
        self.rounds += 1;
        Ok(())
    }

    fn support(&self) -> Result<Support> {
        if self.rounds < 2 {
            return Err(Error::TooFewObservations { what: "an estimate", needed: 2, got: self.rounds });
        }
        check_overlap(0, self.weights)?;
        let count = self.rounds as f64;
        Ok(Support {
            effective_samples: self.weights * self.weights / self.squared_weights,
            largest_weight: self.largest_weight,
            mean_weight: self.weights / count,
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
        let count = self.rounds as f64;
        let value = self.weighted.mean / support.mean_weight;
        let squares = self.squares - 2.0 * value * self.cross + value * value * self.squared_weights;
        let error = (squares.max(0.0) / (count * (count - 1.0))).sqrt() / support.mean_weight;
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
