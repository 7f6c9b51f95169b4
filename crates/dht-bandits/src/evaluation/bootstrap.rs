//! Bootstrap intervals.

use super::estimator::Term;
use crate::error::{Error, Result};
use rand::{Rng, RngExt};
use std::ops::RangeInclusive;

/// Smallest number of resamples: with fewer there is no 2.5 % quantile.
const LEAST_RESAMPLES: usize = 40;

/// Computes the 2.5 % and 97.5 % quantiles of an estimate over resampled terms. A resample whose weights are all zero
/// has no ratio and is left out.
pub(super) fn bootstrap<R: Rng + ?Sized>(
    terms: &[Term],
    ratio: bool,
    resamples: usize,
    rng: &mut R,
) -> Result<RangeInclusive<f64>> {
    let refuse = |got| Err(Error::TooFewObservations { what: "a bootstrap interval", needed: LEAST_RESAMPLES, got });
    if resamples < LEAST_RESAMPLES {
        return refuse(resamples);
    }
    let mut values = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        let (mut offset, mut numerator, mut weight, mut count) = (0.0, 0.0, 0.0, 0.0);
        for _ in terms {
            let term = &terms[rng.random_range(0..terms.len())];
            offset += term.offset;
            numerator += term.numerator;
            weight += term.weight;
            count += term.row_weight;
        }
        let value = if ratio { offset / count + numerator / weight } else { (offset + numerator) / count };
        if value.is_finite() {
            values.push(value);
        }
    }
    if values.len() < LEAST_RESAMPLES {
        return refuse(values.len());
    }
    values.sort_by(f64::total_cmp);
    Ok(quantile(&values, 0.025)..=quantile(&values, 0.975))
}

/// Quantile of sorted values, interpolated linearly (type 7 of Hyndman & Fan 1996).
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let (below, part) = (position.floor() as usize, position.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + part * (sorted[above] - sorted[below])
}
