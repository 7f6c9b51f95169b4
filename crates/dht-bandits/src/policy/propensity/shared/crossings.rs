//! Crossings of arms' values along a line through the space of weights, and the probability that an arm is the best, or
//! shown in a slate, on this line.

use crate::policy::propensity::law::normal_distribution;
use crate::policy::propensity::ranks::tied;

/// Number of values that are processed together in vector registers.
pub(super) const LANES: usize = 8;

/// Transposes row-major vectors of length `rank`, so that each coordinate is contiguous and padded with zeros.
pub(super) fn by_coordinate(rows: &[f64], rank: usize) -> Vec<f64> {
    let count = (rows.len() / rank).next_multiple_of(LANES);
    let mut columns = vec![0.0; count * rank];
    for (index, row) in rows.chunks_exact(rank).enumerate() {
        row.iter().enumerate().for_each(|(coordinate, value)| columns[coordinate * count + index] = *value);
    }
    columns
}

/// Adds the dot product of each transposed vector with `z` to `out`.
pub(super) fn add_products(columns: &[f64], z: &[f64], out: &mut [f64]) {
    for (column, factor) in columns.chunks_exact(out.len()).zip(z) {
        out.iter_mut().zip(column).for_each(|(value, part)| *value += factor * part);
    }
}

/// Direction of the lines through the space of weights that are used for one arm, and the slope of each arm's value
/// along these lines.
pub(super) struct Direction {
    pub(super) u: Vec<f64>,
    slopes: Vec<f64>,
    /// Crossings with arms whose values rise less along the line than the value of this arm. `above` holds the
    /// crossings with arms whose values rise more.
    below: Crossings,
    above: Option<Crossings>,
    /// Other arms whose values have the same slope along the line as the value of this arm.
    level: Vec<usize>,
}

/// Positions on a line at which other arms' values equal the value of one arm. Each position is relative to a point on
/// the line: (v − own)·inverse, with the value v of the other arm and the value `own` of this arm at the point. Only a
/// subset of the other arms has crossings.
struct Crossings {
    inverse: Vec<f64>,
    /// Offset added to a position: 0, or [`NOWHERE`] for arms outside the subset.
    offset: Vec<f64>,
}

/// Position that stands for "no crossing": it is below every real crossing.
const NOWHERE: f64 = -1e300;

impl Crossings {
    /// Creates the crossings from the slope of each arm. Only arms of positive slope have a crossing.
    fn from_slopes(slopes: impl ExactSizeIterator<Item = f64>) -> Self {
        let padded = slopes.len().next_multiple_of(LANES);
        let (mut inverse, mut offset) = (vec![0.0; padded], vec![NOWHERE; padded]);
        for (index, slope) in slopes.enumerate().filter(|(_, slope)| *slope > 0.0) {
            (inverse[index], offset[index]) = (slope.recip().min(-NOWHERE), 0.0);
        }
        Self { inverse, offset }
    }

    fn largest(&self, values: &[f64], mine: f64) -> f64 {
        let mut largest = [NOWHERE; LANES];
        let parts = values.chunks_exact(LANES).zip(self.inverse.chunks_exact(LANES));
        for ((values, inverse), offset) in parts.zip(self.offset.chunks_exact(LANES)) {
            for lane in 0..LANES {
                let crossing = (values[lane] - mine) * inverse[lane] + offset[lane];
                largest[lane] = if crossing > largest[lane] { crossing } else { largest[lane] };
            }
        }
        largest.into_iter().fold(NOWHERE, f64::max)
    }
}

impl Direction {
    pub(super) fn new(arm: usize, slopes: Vec<f64>, u: Vec<f64>) -> Self {
        let (mine, is_above) = (slopes[arm], slopes.iter().any(|slope| *slope > slopes[arm]));
        let below = Crossings::from_slopes(slopes.iter().map(|slope| mine - slope));
        let above = is_above.then(|| Crossings::from_slopes(slopes.iter().map(|slope| slope - mine)));
        let level = (0..slopes.len()).filter(|other| *other != arm && slopes[*other] == mine).collect();
        Self { u, slopes, below, above, level }
    }

    /// Probability that `arm` is the best on a line, where the coordinate on the line is standard normal. `values` are
    /// all arms' values at one point of the line, and `along` is the coordinate of this point. The arm is the best
    /// between two crossings, or nowhere.
    pub(super) fn best_along(&self, values: &[f64], arm: usize, along: f64) -> f64 {
        let mine = values[arm];
        if self.level.iter().any(|&other| values[other] > mine) {
            return 0.0;
        }
        let ties = self.level.iter().filter(|&&other| values[other] == mine).count();
        let low = along + self.below.largest(values, mine);
        let high = self.above.as_ref().map_or(f64::INFINITY, |above| along - above.largest(values, mine));
        if low < high { between(low, high) / (ties + 1) as f64 } else { 0.0 }
    }

    /// Probability that a slate shows `arm`, on a line where the coordinate is standard normal. `values` are all arms'
    /// values at one point of the line, and `along` is the coordinate of this point. `weights` holds the probability
    /// that the arm of each rank is shown. `events` is scratch memory.
    pub(super) fn shown_along(
        &self,
        values: &[f64],
        arm: usize,
        along: f64,
        weights: &[f64],
        events: &mut Vec<(f64, bool)>,
    ) -> f64 {
        events.clear();
        // Number of arms that are above at the lower end of the line, and number of arms that are equal everywhere.
        let (mut above, mut ties) = (0, 0);
        for (other, value) in values.iter().enumerate() {
            if other == arm {
                continue;
            }
            let slope = self.slopes[arm] - self.slopes[other];
            let gap = values[arm] - value;
            // The two values cross at c = along − gap/slope.
            if slope > 0.0 {
                above += 1;
                events.push((along - gap / slope, true));
            } else if slope < 0.0 {
                events.push((along - gap / slope, false));
            } else if gap < 0.0 {
                above += 1;
            } else if gap == 0.0 {
                ties += 1;
            }
        }
        let rises = events.iter().all(|(_, falls)| *falls);
        if rises && ties == 0 && weights.iter().all(|weight| *weight == 1.0) {
            let always = above - events.len();
            return shown_in_the_end(events, always, weights.len());
        }
        events.sort_unstable_by(|left, right| left.0.total_cmp(&right.0));
        let (mut low, mut sum) = (f64::NEG_INFINITY, 0.0);
        for &(crossing, falls) in events.iter() {
            let weight = tied(weights, above, ties);
            if weight > 0.0 {
                sum += weight * between(low, crossing);
            }
            low = crossing;
            if falls { above -= 1 } else { above += 1 }
        }
        sum + tied(weights, above, ties) * between(low, f64::INFINITY)
    }
}

/// Probability that fewer than `shown` other arms have higher values than this arm on a line. `always` arms are higher
/// everywhere. The rest fall below this arm at their crossings, which need not be sorted in this common case.
fn shown_in_the_end(crossings: &mut [(f64, bool)], always: usize, shown: usize) -> f64 {
    if always >= shown {
        return 0.0;
    }
    // The arm is shown once at most this many of the crossing arms are still above.
    let left = shown - always - 1;
    if crossings.len() <= left {
        return 1.0;
    }
    let from = if left == 0 {
        crossings.iter().map(|(crossing, _)| *crossing).fold(f64::NEG_INFINITY, f64::max)
    } else {
        crossings.select_nth_unstable_by(left, |one, other| other.0.total_cmp(&one.0)).1.0
    };
    normal_distribution(-from)
}

/// Computes the normal probability Φ(high) − Φ(low) from the nearer tail, to keep digits.
fn between(low: f64, high: f64) -> f64 {
    if low > 0.0 {
        normal_distribution(-low) - normal_distribution(-high)
    } else {
        normal_distribution(high) - normal_distribution(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_without_sorting_gives_what_the_sweep_gives() {
        let direction = Direction::new(0, vec![5.0, 1.0, -2.0, 0.5, 4.0, 2.0], vec![1.0]);
        let values: Vec<f64> = (0..6).map(|index| (index as f64 * 2.3).sin()).collect();
        for shown in 1..7 {
            let weights = vec![1.0; shown];
            let fast = direction.shown_along(&values, 0, 0.3, &weights, &mut Vec::new());
            // A further weight that is nearly 0 makes the function use the sweep.
            let mut other = weights.clone();
            other.push(1e-300);
            let sweep = direction.shown_along(&values, 0, 0.3, &other, &mut Vec::new());
            assert!((fast - sweep).abs() < 1e-14, "{shown}: {fast} {sweep}");
        }
    }

    #[test]
    fn the_best_between_two_crossings_is_what_the_sweep_finds() {
        // The arms rise more, less and equally fast; two of the latter have equal values.
        let slopes = [1.0, 5.0, -2.0, 1.0, 0.5, 1.0, 3.0, -1.0, 0.0, 1.5];
        for arm in 0..slopes.len() {
            let direction = Direction::new(arm, slopes.to_vec(), vec![1.0]);
            for case in 0..50 {
                let mut values: Vec<f64> =
                    (0..slopes.len()).map(|index| (index as f64 * 2.3 + f64::from(case)).sin()).collect();
                values[3] = values[0];
                let sweep = direction.shown_along(&values, arm, 0.3, &[1.0, 1e-300], &mut Vec::new());
                values.resize(slopes.len().next_multiple_of(LANES), 0.0);
                let best = direction.best_along(&values, arm, 0.3);
                assert!((best - sweep).abs() < 1e-14, "arm {arm}, case {case}: {best} {sweep}");
            }
        }
    }
}
