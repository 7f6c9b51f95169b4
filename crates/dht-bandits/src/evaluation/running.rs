//! Off-policy estimates in one pass over a log, in constant memory.

use std::ops::RangeInclusive;

use super::confidence_sequence::ConfidenceSequence;
use super::estimate::{Estimate, LoggedRound, Support, check_counts_once, check_overlap, check_round, from_moments};
use crate::error::{Error, Result};

/// Off-policy estimates that are updated round by round, in constant memory. They are inverse propensity scoring, its
/// self-normalised form, the doubly robust estimator if rounds have predictions, and optionally a confidence sequence.
/// For the same rounds, [`OffPolicy`](super::OffPolicy) computes the same estimates, up to rounding.
///
/// ```
/// use dht_bandits::evaluation::{LoggedRound, RunningEstimates};
///
/// let mut estimates = RunningEstimates::new(None);
/// for round in 0..100 {
///     // Two arms at one half each. The evaluated policy plays arm 1, which always pays.
///     let one = if round % 2 == 0 { 1.0 } else { 0.0 };
///     estimates.push(&LoggedRound::new(one, 0.5, one))?;
/// }
/// assert!((estimates.inverse_propensity()?.value - 1.0).abs() < 1e-12);
/// assert_eq!(estimates.rounds(), 100);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RunningEstimates {
    rounds: usize,
    largest_weight: f64,
    unsupported: f64,
    /// Moments of w·r (importance weight times reward). `robust` holds the moments of the doubly robust terms.
    weighted: Moments,
    robust: Moments,
    /// Moments of the rewards r, weighted by the importance weights w; their mean is Σwr/Σw. `spread` and `skew` have
    /// the weights w² and w³, for the delta method.
    rewards: Moments,
    spread: Moments,
    skew: Moments,
    /// Index of the first round without a prediction.
    without_model: Option<usize>,
    sequence: Option<ConfidenceSequence>,
}

/// Running weighted mean, and sums of squared and cubed deviations (Welford 1962; weighted: West 1979; cubes: Pébay
/// 2008). These recurrences do not subtract large sums, which would lose the digits of a small spread.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    weight: f64,
    mean: f64,
    squares: f64,
    cubes: f64,
}

impl Moments {
    fn push(&mut self, value: f64, weight: f64) {
        if weight > 0.0 {
            let earlier = self.weight;
            self.weight += weight;
            let (before, share) = (value - self.mean, weight / self.weight);
            self.mean += before * share;
            let square = weight * before * (value - self.mean);
            self.cubes += square * before * (earlier - weight) / self.weight - 3.0 * before * share * self.squares;
            self.squares += square;
        }
    }

    /// Weighted sum of squared deviations from `centre`.
    fn squares_about(&self, centre: f64) -> f64 {
        let gap = self.mean - centre;
        self.squares + self.weight * gap * gap
    }

    /// Weighted sum of cubed deviations from `centre`.
    fn cubes_about(&self, centre: f64) -> f64 {
        let gap = self.mean - centre;
        self.cubes + 3.0 * self.squares * gap + self.weight * gap * gap * gap
    }
}

impl RunningEstimates {
    /// Creates estimates without rounds. If a confidence sequence is passed, all rewards must be in its range.
    pub fn new(sequence: Option<ConfidenceSequence>) -> Self {
        Self {
            rounds: 0,
            largest_weight: 0.0,
            unsupported: 0.0,
            weighted: Moments::default(),
            robust: Moments::default(),
            rewards: Moments::default(),
            spread: Moments::default(),
            skew: Moments::default(),
            without_model: None,
            sequence,
        }
    }

    /// Adds a logged round to the estimates. After an error nothing has changed.
    ///
    /// # Errors
    /// * Fails as [`OffPolicy::new`](super::OffPolicy::new) and [`ConfidenceSequence::push`] do.
    /// * Fails if the round has a [drop probability](LoggedRound::drop_probability).
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
        self.skew.push(reward, weight * weight * weight);
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

    /// Number of rounds added so far.
    pub fn rounds(&self) -> usize {
        self.rounds
    }

    /// Current estimate by inverse propensity scoring
    /// ([`Estimator::InversePropensity`](super::Estimator::InversePropensity)).
    ///
    /// # Errors
    /// * Fails if there are fewer than two rounds, or if values overflow.
    /// * [`Error::NoOverlap`] if all importance weights are zero.
    pub fn inverse_propensity(&self) -> Result<Estimate> {
        let Moments { mean, squares, cubes, .. } = self.weighted;
        from_moments(mean, squares, cubes, self.rounds, self.support()?)
    }

    /// Current estimate by self-normalised inverse propensity scoring
    /// ([`Estimator::SelfNormalised`](super::Estimator::SelfNormalised)).
    ///
    /// # Errors
    /// Fails as [`inverse_propensity`](Self::inverse_propensity) does.
    pub fn self_normalised(&self) -> Result<Estimate> {
        let support = self.support()?;
        let (value, scale) = (self.rewards.mean, support.mean_weight);
        // Sum of (w(r − value)/w̄)² by the delta method, and the same sum of cubes.
        let squares = self.spread.squares_about(value) / (scale * scale);
        let cubes = self.skew.cubes_about(value) / (scale * scale * scale);
        from_moments(value, squares, cubes, self.rounds, support)
    }

    /// Current estimate by the doubly robust estimator ([`Estimator::DoublyRobust`](super::Estimator::DoublyRobust)).
    ///
    /// # Errors
    /// * Fails as [`inverse_propensity`](Self::inverse_propensity) does.
    /// * [`Error::NoModel`] if a round has no prediction.
    pub fn doubly_robust(&self) -> Result<Estimate> {
        let support = self.support()?;
        match self.without_model {
            Some(round) => Err(Error::NoModel { estimator: "DR", round }),
            None => {
                let Moments { mean, squares, cubes, .. } = self.robust;
                from_moments(mean, squares, cubes, self.rounds, support)
            }
        }
    }

    /// Current interval of the confidence sequence, if there is one.
    pub fn sequence(&self) -> Option<RangeInclusive<f64>> {
        self.sequence.as_ref().map(ConfidenceSequence::interval)
    }
}
