//! Off-policy estimators: the value of one policy from the log of another.

use super::bootstrap::bootstrap;
use super::estimate::{Estimate, LoggedRound, Support, check_overlap, check_round, estimate};
use super::estimator::{Estimator, Term};
use crate::error::{Error, Result};
use rand::Rng;
use std::ops::RangeInclusive;

/// Off-policy estimators over one log of decisions ([`new`](Self::new)), or of slates
/// ([`from_slates`](OffPolicy::from_slates)).
///
/// Estimates are finite: a log whose values could overflow is refused. All estimators except the direct method also
/// refuse a log in which the evaluated policy never takes a logged action, since it gives no evidence of the policy's
/// value. [`Estimator`] has the formulas.
///
/// ```
/// use dht_bandits::evaluation::{LoggedRound, OffPolicy};
///
/// // Two arms logged at one half each; arm 1 pays 1, arm 0 nothing. The evaluated policy always plays arm 1.
/// let log: Vec<_> = (0..100).map(|round| {
///     let played_one = round % 2 == 0;
///     LoggedRound::new(if played_one { 1.0 } else { 0.0 }, 0.5, if played_one { 1.0 } else { 0.0 })
/// }).collect();
/// let log = OffPolicy::new(&log)?;
/// let estimate = log.self_normalised()?;
/// assert_eq!((estimate.value, estimate.effective_samples, estimate.largest_weight), (1.0, 50.0, 2.0));
/// assert!(log.direct().is_err()); // there is no model
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct OffPolicy<'a, T = LoggedRound> {
    pub(super) rounds: &'a [T],
}

impl<'a> OffPolicy<'a> {
    /// Checks a log and creates its estimators.
    ///
    /// # Errors
    /// Fewer than two rounds; a propensity outside (0, 1]; a target outside [0, 1]; a value that is not finite; a
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

    /// Rounds of the log.
    pub fn rounds(&self) -> &'a [LoggedRound] {
        self.rounds
    }

    /// Contributions of the rounds to an estimator.
    pub(super) fn terms(&self, estimator: Estimator) -> Result<Vec<Term>> {
        estimator.check()?;
        if estimator.needs_overlap() {
            let mut sum = 0.0;
            for (position, round) in self.rounds.iter().enumerate() {
                sum += round.weight_for(estimator.name(), position)?;
            }
            check_overlap(0, sum)?;
        }
        let mean = self.mean_row_weight();
        let term = |(position, round): (usize, &LoggedRound)| {
            Ok(estimator.term(position, round)?.times(round.row_weight() / mean))
        };
        self.rounds.iter().enumerate().map(term).collect()
    }

    fn mean_row_weight(&self) -> f64 {
        self.rounds.iter().map(LoggedRound::row_weight).sum::<f64>() / self.rounds.len() as f64
    }

    /// Support of an estimate with these weights.
    fn support(&self, terms: &[Term]) -> Support {
        let count = self.rounds.len() as f64 * self.mean_row_weight();
        let sum =
            |of: fn(&LoggedRound) -> f64| self.rounds.iter().map(|round| of(round) * round.row_weight()).sum::<f64>();
        Support {
            mean_weight: sum(|round| round.weight().unwrap_or(0.0)) / count,
            unsupported: sum(|round| round.unsupported) / count,
            ..Support::from_weights(terms.iter().map(|term| term.weight))
        }
    }

    /// Estimate of an estimator, with its standard error: the error of a mean, or by the delta method of a ratio.
    ///
    /// # Errors
    /// [`Error::NoPropensity`], except for the direct method; [`Error::NoModel`]; [`Error::NoOverlap`]: all weights are
    /// zero; a parameter out of its range; values that overflow.
    pub fn estimate(&self, estimator: Estimator) -> Result<Estimate> {
        let terms = self.terms(estimator)?;
        let mut support = self.support(&terms);
        if estimator == Estimator::Direct {
            support.effective_samples =
                Support::from_weights(terms.iter().map(|term| term.row_weight)).effective_samples;
        }
        let (value, deviations) = deviations(&terms, estimator.is_ratio());
        estimate(value, deviations, terms.len(), support)
    }

    /// Influence of each round on the estimate, times the number of rounds.
    pub(super) fn influences(&self, estimator: Estimator) -> Result<Vec<f64>> {
        Ok(deviations(&self.terms(estimator)?, estimator.is_ratio()).1.collect())
    }

    /// Computes the 95 % bootstrap interval: quantiles of the estimate over logs drawn from this one with replacement
    /// (Efron 1979). A resample takes O(n) draws; a thousand resamples suffice for two digits.
    ///
    /// The bootstrap is no better than the normal interval where few rounds carry most of the weight, since these
    /// rounds are rare in every resample too.
    ///
    /// # Errors
    /// Errors of [`estimate`](Self::estimate); fewer than 40 resamples.
    pub fn bootstrap<R: Rng + ?Sized>(
        &self,
        estimator: Estimator,
        resamples: usize,
        rng: &mut R,
    ) -> Result<RangeInclusive<f64>> {
        bootstrap(&self.terms(estimator)?, estimator.is_ratio(), resamples, rng)
    }

    /// [`Estimator::Direct`]: the mean of the model's expectation. Its interval reflects only the spread of contexts,
    /// not the error of the model.
    ///
    /// # Errors
    /// [`Error::NoModel`].
    pub fn direct(&self) -> Result<Estimate> {
        self.estimate(Estimator::Direct)
    }

    /// [`Estimator::InversePropensity`].
    ///
    /// # Errors
    /// [`Error::NoOverlap`]: all weights are zero.
    pub fn inverse_propensity(&self) -> Result<Estimate> {
        self.estimate(Estimator::InversePropensity)
    }

    /// [`Estimator::Clipped`]: weights of at most `largest`.
    ///
    /// # Errors
    /// A bound that is not positive; as [`inverse_propensity`](Self::inverse_propensity).
    pub fn clipped(&self, largest: f64) -> Result<Estimate> {
        self.estimate(Estimator::Clipped { largest })
    }

    /// [`Estimator::SelfNormalised`].
    ///
    /// # Errors
    /// Errors of [`inverse_propensity`](Self::inverse_propensity).
    pub fn self_normalised(&self) -> Result<Estimate> {
        self.estimate(Estimator::SelfNormalised)
    }

    /// [`Estimator::DoublyRobust`].
    ///
    /// # Errors
    /// Errors of [`estimate`](Self::estimate).
    pub fn doubly_robust(&self) -> Result<Estimate> {
        self.estimate(Estimator::DoublyRobust)
    }

    /// [`Estimator::SelfNormalisedDoublyRobust`].
    ///
    /// # Errors
    /// Errors of [`estimate`](Self::estimate).
    pub fn self_normalised_doubly_robust(&self) -> Result<Estimate> {
        self.estimate(Estimator::SelfNormalisedDoublyRobust)
    }

    /// [`Estimator::SwitchDoublyRobust`].
    ///
    /// # Errors
    /// Errors of [`estimate`](Self::estimate).
    pub fn switch_doubly_robust(&self, threshold: f64) -> Result<Estimate> {
        self.estimate(Estimator::SwitchDoublyRobust { threshold })
    }

    /// [`Estimator::OptimisticDoublyRobust`].
    ///
    /// # Errors
    /// Errors of [`estimate`](Self::estimate).
    pub fn optimistic_doubly_robust(&self, shrinkage: f64) -> Result<Estimate> {
        self.estimate(Estimator::OptimisticDoublyRobust { shrinkage })
    }
}

/// Computes the value of a mean, or of a ratio plus the mean of an offset, and the deviation of each round from it (for
/// a ratio by the delta method).
fn deviations(terms: &[Term], ratio: bool) -> (f64, impl Iterator<Item = f64> + '_) {
    let mean = |of: fn(&Term) -> f64| terms.iter().map(of).sum::<f64>() / terms.len() as f64;
    let (offset, numerator) = (mean(|term| term.offset), mean(|term| term.numerator));
    let (scale, value) =
        if ratio { (mean(|term| term.weight), numerator / mean(|term| term.weight)) } else { (1.0, 0.0) };
    let whole = if ratio { value } else { numerator };
    let centre = if ratio { 0.0 } else { numerator };
    let of_round = move |term: &Term| {
        (term.numerator - centre * term.row_weight - term.weight * value) / scale + term.offset
            - offset * term.row_weight
    };
    (offset + whole, terms.iter().map(of_round))
}
