//! Bootstrap confidence intervals for off-policy estimates.

use std::ops::RangeInclusive;

use rand::{Rng, RngExt};

use super::estimator::Term;
use super::level::{normal_distribution, normal_quantile, two_sided_quantile};
use crate::error::{Error, Result};

/// Smallest accepted number of bootstrap resamples, at any confidence level.
const LEAST_RESAMPLES: usize = 40;

/// Estimate with its influence function: how much one round moves the estimate, times the number of rounds. For a mean,
/// the influence of a round is its deviation from the mean. For a ratio of sums it follows from the delta method.
#[derive(Debug, Clone, Copy)]
pub(super) struct Influence {
    offset: f64,
    centre: f64,
    value: f64,
    scale: f64,
}

impl Influence {
    /// Creates the influence function from means over the rounds. With `ratio`, the estimate is offset +
    /// numerator/weight, otherwise offset + numerator.
    pub(super) fn new(offset: f64, numerator: f64, weight: f64, ratio: bool) -> Self {
        if ratio {
            Self { offset, centre: 0.0, value: numerator / weight, scale: weight }
        } else {
            Self { offset, centre: numerator, value: 0.0, scale: 1.0 }
        }
    }

    pub(super) fn estimate(&self) -> f64 {
        self.offset + self.centre + self.value
    }

    pub(super) fn of(&self, term: Term) -> f64 {
        let Self { offset, centre, value, scale } = *self;
        // The sums of a term are computed first, so that a term without effect leaves no rounding error.
        (term.numerator - term.weight * value) / scale + term.offset - (centre + offset) * term.row_weight
    }
}

fn influence(terms: impl Iterator<Item = Term>, ratio: bool) -> Influence {
    let (mut offset, mut numerator, mut weight, mut rows) = (0.0, 0.0, 0.0, 0.0);
    for term in terms {
        offset += term.offset;
        numerator += term.numerator;
        weight += term.weight;
        rows += term.row_weight;
    }
    Influence::new(offset / rows, numerator / rows, weight / rows, ratio)
}

/// Computes the BCa (bias-corrected and accelerated) bootstrap interval of an estimate (Efron 1987, "Better bootstrap
/// confidence intervals"). Its ends are quantiles of estimates from resampled rounds, corrected for median bias and
/// skewness. A resample in which all importance weights are zero is left out if the estimate is a ratio.
pub(super) fn bootstrap<R: Rng + ?Sized>(
    terms: &[Term],
    ratio: bool,
    resamples: usize,
    level: f64,
    rng: &mut R,
) -> Result<RangeInclusive<f64>> {
    let normal = two_sided_quantile(level)?;
    // Fewer resamples do not have such a quantile.
    let needed = LEAST_RESAMPLES.max((2.0 / (1.0 - level) - 1e-6).ceil() as usize);
    let refuse = |got| Err(Error::TooFewObservations { what: "a bootstrap interval", needed, got });
    if resamples < needed {
        return refuse(resamples);
    }
    let own = influence(terms.iter().copied(), ratio);
    let (mut squares, mut cubes) = (0.0, 0.0);
    for term in terms {
        let deviation = own.of(*term);
        squares += deviation * deviation;
        cubes += deviation * deviation * deviation;
    }
    let mut values = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        let drawn = (0..terms.len()).map(|_| terms[rng.random_range(0..terms.len())]);
        let value = influence(drawn, ratio).estimate();
        if value.is_finite() {
            values.push(value);
        }
    }
    if values.len() < needed {
        return refuse(values.len());
    }
    values.sort_by(f64::total_cmp);
    let estimate = own.estimate();
    let (below, until) = (
        values.partition_point(|value| *value < estimate) as f64,
        values.partition_point(|value| *value <= estimate) as f64,
    );
    let count = values.len() as f64;
    let shift = normal_quantile((0.5 * (below + until) / count).clamp(1.0 / count, 1.0 - 1.0 / count));
    // Equal terms have no skewness.
    let acceleration = Some(cubes / squares / squares.sqrt() / 6.0).filter(|value| value.is_finite()).unwrap_or(0.0);
    let end = |z: f64| {
        let shifted = shift + z;
        quantile(&values, normal_distribution(shift + shifted / (1.0 - acceleration * shifted)))
    };
    Ok(end(-normal)..=end(normal))
}

/// Quantile of sorted values with linear interpolation (type 6 of Hyndman & Fan 1996). The i-th of n values is the
/// quantile i/(n + 1).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = (sorted.len() - 1) as f64;
    let position = (share * (sorted.len() + 1) as f64 - 1.0).clamp(0.0, last);
    let (below, part) = (position.floor() as usize, position.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + part * (sorted[above] - sorted[below])
}
