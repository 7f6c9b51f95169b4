//! Off-policy estimation: the value of one policy from the log of another.

use std::ops::RangeInclusive;

use rand::Rng;

use super::bootstrap::{Influence, bootstrap};
use super::estimate::{Estimate, LoggedRound, Support, check_overlap, check_round, from_moments};
use super::estimator::{Estimator, Term};
use crate::error::{Error, Result};

/// Off-policy estimators for one log. The log contains decisions ([`new`](Self::new)), or slates, lists of arms shown
/// at once ([`from_slates`](OffPolicy::from_slates)). [`Estimator`] lists the formulas.
///
/// Estimates are always finite: a log whose values could overflow is an error. All estimators except the direct method
/// also return an error if the evaluated policy never takes a logged action. Such a log gives no evidence of the
/// policy's value.
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
    pub(super) totals: Totals,
}

/// Sums over the rounds of a log that are the same for all estimators. Not used for slates.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    weights: f64,
    /// Sum of the row weights, the number of times that each round counts.
    row_weights: f64,
    /// Sum of importance weight × row weight.
    weighted: f64,
    /// Sum of [`LoggedRound::unsupported`] × row weight.
    unsupported: f64,
    /// Indices of two rounds: the first one without a propensity, and the first one without a prediction of a reward
    /// model.
    without: (Option<usize>, Option<usize>),
}

/// Quantity to estimate: the value of the evaluated policy, or with `minus_log` its gain over the logging policy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quantity {
    pub(super) estimator: Estimator,
    pub(super) minus_log: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    offset: f64,
    numerator: f64,
    weight: f64,
    squares: f64,
    largest: f64,
    row_weight: f64,
    row_squares: f64,
    /// Sum of |offset| + |numerator|, the scale of rounding errors.
    size: f64,
}

impl Sums {
    fn add(&mut self, Term { offset, numerator, weight, row_weight }: Term) {
        self.offset += offset;
        self.numerator += numerator;
        self.weight += weight;
        self.squares += weight * weight;
        self.largest = self.largest.max(weight);
        self.row_weight += row_weight;
        self.row_squares += row_weight * row_weight;
        self.size += offset.abs() + numerator.abs();
    }
}

impl<'a> OffPolicy<'a> {
    /// Creates the off-policy estimators for a log, after checking each round.
    ///
    /// # Errors
    /// * Fails if there are fewer than two rounds.
    /// * Fails if a propensity is outside (0, 1], or if the evaluated policy's probability of a logged arm (`target`)
    ///   is outside [0, 1].
    /// * Fails if a value is not finite, or if a reward, a prediction or a weight is beyond ±1e50.
    pub fn new(rounds: &'a [LoggedRound]) -> Result<Self> {
        if rounds.len() < 2 {
            return Err(Error::TooFewObservations { what: "an estimate", needed: 2, got: rounds.len() });
        }
        let mut totals = Totals::default();
        for (round, entry) in rounds.iter().enumerate() {
            check_round(round, entry)?;
            let (weight, row_weight) = (entry.weight(), entry.row_weight());
            totals.weights += weight.unwrap_or(0.0);
            totals.row_weights += row_weight;
            totals.weighted += weight.unwrap_or(0.0) * row_weight;
            totals.unsupported += entry.unsupported * row_weight;
            let (propensity, model) = totals.without;
            totals.without = (
                propensity.or_else(|| weight.is_none().then_some(round)),
                model.or_else(|| entry.prediction.is_none().then_some(round)),
            );
        }
        Ok(Self { rounds, totals })
    }

    /// Rounds of the log.
    pub fn rounds(&self) -> &'a [LoggedRound] {
        self.rounds
    }

    /// Checks that the log has the values that an estimator needs: overlap, propensities and predictions.
    fn check(&self, estimator: Estimator) -> Result<()> {
        estimator.check()?;
        if estimator.needs_overlap() {
            if let (Some(round), _) = self.totals.without {
                return Err(Error::NoPropensity { estimator: estimator.name(), round });
            }
            check_overlap(0, self.totals.weights)?;
        }
        match self.totals.without {
            (_, Some(round)) if estimator.needs_model() => Err(Error::NoModel { estimator: estimator.name(), round }),
            _ => Ok(()),
        }
    }

    fn term(&self, Quantity { estimator, minus_log }: Quantity, round: &LoggedRound) -> Term {
        let mean = self.totals.row_weights / self.rounds.len() as f64;
        let mut term = estimator.term(round);
        if minus_log {
            term.offset -= round.reward;
        }
        term.times(round.row_weight() / mean)
    }

    /// Estimates the value of the evaluated policy by one estimator. For self-normalised estimators the standard error
    /// comes from the delta method.
    ///
    /// # Errors
    /// * [`Error::NoPropensity`] if a round has no propensity, except for the direct method.
    /// * [`Error::NoModel`] if the estimator needs a model and a round has no prediction.
    /// * [`Error::NoOverlap`] if all importance weights are zero.
    /// * Fails if a parameter is out of its range, or if values overflow.
    pub fn estimate(&self, estimator: Estimator) -> Result<Estimate> {
        Ok(self.estimates(&[Quantity { estimator, minus_log: false }])?.0[0])
    }

    /// Gain of the evaluated policy over the logging policy: the estimated value minus the mean reward of the log. Both
    /// come from the same rounds. Their common errors cancel, so that the interval is shorter than the interval of
    /// either value.
    ///
    /// If the logging policy learned, the gain is relative to its average over the log.
    ///
    /// # Errors
    /// Fails as [`estimate`](Self::estimate) does.
    pub fn gain(&self, estimator: Estimator) -> Result<Estimate> {
        Ok(self.estimates(&[Quantity { estimator, minus_log: true }])?.0[0])
    }

    /// Estimates k quantities, and compares their errors. For j < i, entry i·k + j of the second result is Σ(d_i −
    /// d_j)² over the rounds, where d_i is a round's influence on estimate i. The function passes over the rounds only
    /// twice, whatever k is, because the rounds of a log do not fit in CPU caches.
    pub(super) fn estimates(&self, quantities: &[Quantity]) -> Result<(Vec<Estimate>, Vec<f64>)> {
        let k = quantities.len();
        quantities.iter().try_for_each(|quantity| self.check(quantity.estimator))?;
        let mut sums = vec![Sums::default(); k];
        for round in self.rounds {
            for (sums, quantity) in sums.iter_mut().zip(quantities) {
                sums.add(self.term(*quantity, round));
            }
        }
        let count = self.rounds.len() as f64;
        let influence = |(sums, quantity): (&Sums, &Quantity)| {
            let (offset, numerator, weight) = (sums.offset / count, sums.numerator / count, sums.weight / count);
            Influence::new(offset, numerator, weight, quantity.estimator.is_ratio())
        };
        let influences: Vec<Influence> = sums.iter().zip(quantities).map(influence).collect();
        let (mut squares, mut cubes, mut values) = (vec![0.0; k], vec![0.0; k], vec![0.0; k]);
        let mut differences = vec![0.0; k * k];
        for round in self.rounds {
            for ((value, influence), quantity) in values.iter_mut().zip(&influences).zip(quantities) {
                *value = influence.of(self.term(*quantity, round));
            }
            for (position, ours) in values.iter().enumerate() {
                squares[position] += ours * ours;
                cubes[position] += ours * ours * ours;
                for (sum, theirs) in differences[position * k..].iter_mut().zip(&values[..position]) {
                    *sum += (ours - theirs) * (ours - theirs);
                }
            }
        }
        let estimate = |position: usize| {
            let Sums { weight, squares: weights, largest, row_weight, row_squares, size, .. } = sums[position];
            let effective = |sum: f64, squares: f64| if squares > 0.0 { sum * sum / squares } else { 0.0 };
            let effective_samples = match quantities[position].estimator {
                Estimator::Direct => effective(row_weight, row_squares),
                _ => effective(weight, weights),
            };
            let Totals { row_weights, weighted, unsupported, .. } = self.totals;
            let (mean_weight, unsupported) = (weighted / row_weights, unsupported / row_weights);
            let support = Support { effective_samples, largest_weight: largest, mean_weight, unsupported };
            let (squares, cubes) = (squares[position], cubes[position]);
            let value = influences[position].estimate();
            let estimate = from_moments(value, squares, cubes, self.rounds.len(), support)?;
            // Deviations that are rounding errors of their terms are not a spread.
            let spreads = (squares / count).sqrt() > 1e-10 * size / count;
            let stated = spreads && quantities[position].estimator.has_interval();
            Ok(if stated { estimate } else { estimate.without_interval() })
        };
        Ok(((0..k).map(estimate).collect::<Result<_>>()?, differences))
    }

    /// Computes a bootstrap confidence interval: quantiles of the estimate over logs that are resampled from this one,
    /// corrected for bias and skewness (BCa; Efron 1987). Each resample of n rounds takes O(n) time. A thousand
    /// resamples are sufficient for two digits.
    ///
    /// If few rounds have most of the importance weight, the bootstrap is not better than the interval of [`Estimate`].
    ///
    /// # Errors
    /// * Fails as [`estimate`](Self::estimate) does.
    /// * [`Error::NoInterval`] if the estimator has a bias.
    /// * Fails if the level is outside (0, 1), or if there are fewer resamples than 40 or 2/(1 − level).
    pub fn bootstrap<R: Rng + ?Sized>(
        &self,
        estimator: Estimator,
        resamples: usize,
        level: f64,
        rng: &mut R,
    ) -> Result<RangeInclusive<f64>> {
        self.check(estimator)?;
        if !estimator.has_interval() {
            return Err(Error::NoInterval { estimator: estimator.name() });
        }
        let quantity = Quantity { estimator, minus_log: false };
        let terms: Vec<Term> = self.rounds.iter().map(|round| self.term(quantity, round)).collect();
        bootstrap(&terms, estimator.is_ratio(), resamples, level, rng)
    }

    /// Estimate by the direct method ([`Estimator::Direct`]): the mean of the rewards that the reward model predicts
    /// for the evaluated policy. The standard error accounts only for the variation of contexts, not for the error of
    /// the model. There is no confidence interval.
    ///
    /// # Errors
    /// [`Error::NoModel`] if a round has no prediction.
    pub fn direct(&self) -> Result<Estimate> {
        self.estimate(Estimator::Direct)
    }

    /// Estimate by inverse propensity scoring ([`Estimator::InversePropensity`]).
    ///
    /// # Errors
    /// * [`Error::NoPropensity`] if a round has no propensity.
    /// * [`Error::NoOverlap`] if all importance weights are zero.
    pub fn inverse_propensity(&self) -> Result<Estimate> {
        self.estimate(Estimator::InversePropensity)
    }

    /// Estimate by inverse propensity scoring with importance weights clipped to `largest` ([`Estimator::Clipped`]).
    ///
    /// # Errors
    /// * Fails if `largest` is not positive.
    /// * Fails as [`inverse_propensity`](Self::inverse_propensity) does.
    pub fn clipped(&self, largest: f64) -> Result<Estimate> {
        self.estimate(Estimator::Clipped { largest })
    }

    /// Estimate by self-normalised inverse propensity scoring ([`Estimator::SelfNormalised`]).
    ///
    /// # Errors
    /// Fails as [`inverse_propensity`](Self::inverse_propensity) does.
    pub fn self_normalised(&self) -> Result<Estimate> {
        self.estimate(Estimator::SelfNormalised)
    }

    /// Estimate by the doubly robust estimator ([`Estimator::DoublyRobust`]).
    ///
    /// # Errors
    /// Fails as [`estimate`](Self::estimate) does.
    pub fn doubly_robust(&self) -> Result<Estimate> {
        self.estimate(Estimator::DoublyRobust)
    }

    /// Estimate by the self-normalised doubly robust estimator ([`Estimator::SelfNormalisedDoublyRobust`]).
    ///
    /// # Errors
    /// Fails as [`estimate`](Self::estimate) does.
    pub fn self_normalised_doubly_robust(&self) -> Result<Estimate> {
        self.estimate(Estimator::SelfNormalisedDoublyRobust)
    }

    /// Estimate by the doubly robust estimator that uses the reward model alone above a `threshold` of the importance
    /// weight ([`Estimator::SwitchDoublyRobust`]).
    ///
    /// # Errors
    /// Fails as [`estimate`](Self::estimate) does.
    pub fn switch_doubly_robust(&self, threshold: f64) -> Result<Estimate> {
        self.estimate(Estimator::SwitchDoublyRobust { threshold })
    }

    /// Estimate by the doubly robust estimator with optimistic shrinkage of the importance weights
    /// ([`Estimator::OptimisticDoublyRobust`]). `shrinkage` is its parameter λ.
    ///
    /// # Errors
    /// Fails as [`estimate`](Self::estimate) does.
    pub fn optimistic_doubly_robust(&self, shrinkage: f64) -> Result<Estimate> {
        self.estimate(Estimator::OptimisticDoublyRobust { shrinkage })
    }
}
