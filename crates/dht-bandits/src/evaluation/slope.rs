//! SLOPE: selection of an off-policy estimator's parameter from the data.

use super::estimate::{Estimate, NORMAL_975};
use super::estimator::Estimator;
use super::off_policy::{OffPolicy, Quantity};
use crate::error::{Error, Result};

/// Factor √6 − 1 on the half width of the wider interval when SLOPE compares two intervals. With this factor, the error
/// of the selected estimator is bounded relative to the best candidate (Tucker & Lee 2021, SLOPE++).
const COMPARISON: f64 = 1.449_489_742_783_178;

/// Factor by which the limit of SLOPE's unbiased candidate exceeds the largest importance weight, so that no weight is
/// clipped. If the candidate uses the square of this limit as its shrinkage parameter λ, weights shrink by a fraction
/// of at most 1e-12.
const UNBIASED: f64 = 1e6;

impl OffPolicy<'_> {
    /// Selects an estimator by SLOPE, and returns its estimate. SLOPE selects the candidate with the smallest interval
    /// that is consistent with all wider intervals (Su, Srinath & Krishnamurthy 2020, "Adaptive estimator selection for
    /// off-policy evaluation"; Tucker & Lee 2021).
    ///
    /// Candidates are visited in descending order of the half widths c of their intervals. Candidate i, with the
    /// estimate θ_i, is accepted if |θ_i − θ_j| ≤ c_i + (√6 − 1)·c_j for all earlier candidates j. The last candidate
    /// before the first rejection is selected.
    ///
    /// This implementation adds a condition: the difference of two estimates must also be within 1.96 of its standard
    /// errors. Errors of estimates from one log are correlated, so that a difference is known far better than either
    /// estimate. Without this condition SLOPE accepts a bias of more than a whole interval.
    ///
    /// Candidates should be one family with decreasing variance and increasing bias, such as switch-DR with decreasing
    /// thresholds. [`candidates`](Self::candidates) creates such a family. The selected estimate has no interval, since
    /// its bias is unknown, unless the unbiased candidate is selected.
    ///
    /// # Errors
    /// * Fails if there are no candidates.
    /// * Fails as [`estimate`](Self::estimate) does.
    pub fn slope(&self, candidates: &[Estimator]) -> Result<(Estimator, Estimate)> {
        let value = |estimator: &Estimator| Quantity { estimator: *estimator, minus_log: false };
        let (estimates, differences) = self.estimates(&candidates.iter().map(value).collect::<Vec<_>>())?;
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by(|left, right| estimates[*right].standard_error.total_cmp(&estimates[*left].standard_error));
        let half = |estimate: &Estimate| NORMAL_975 * estimate.standard_error;
        let count = self.rounds().len() as f64;
        let agrees = |position: usize| {
            let ours = &estimates[order[position]];
            let with = |other: usize| {
                let theirs = &estimates[other];
                let gap = (ours.value - theirs.value).abs();
                let squares = differences[order[position].max(other) * candidates.len() + order[position].min(other)];
                gap <= half(ours) + COMPARISON * half(theirs)
                    && gap <= NORMAL_975 * (squares / (count * (count - 1.0))).sqrt()
            };
            order[..position].iter().all(|other| with(*other))
        };
        match (0..candidates.len()).take_while(|&position| agrees(position)).last() {
            Some(position) => Ok((candidates[order[position]], estimates[order[position]])),
            None => Err(Error::TooFewObservations { what: "a choice of estimators", needed: 1, got: 0 }),
        }
    }

    /// Creates ten estimators with different parameters as candidates for [`slope`](Self::slope). `make` creates an
    /// estimator from a limit of the importance weights. The first limit is so large that an estimator with this
    /// parameter, or with its square, is unbiased. The other limits are spaced evenly on a logarithmic scale, from the
    /// log's largest importance weight down to 1.
    pub fn candidates(&self, make: impl Fn(f64) -> Estimator) -> Vec<Estimator> {
        let largest = self.rounds().iter().filter_map(|round| round.weight()).fold(1.0, f64::max);
        let grid = (0..9).map(|step| largest.powf(1.0 - f64::from(step) / 8.0));
        std::iter::once(UNBIASED * largest).chain(grid).map(make).collect()
    }
}
