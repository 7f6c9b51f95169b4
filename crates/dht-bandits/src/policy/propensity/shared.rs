//! Arms scored by one draw of shared weights: correlated Gaussian values.
//!
//! The values are m_a + g_a'z with z ~ N(0, I) and one row g_a an arm. No closed form exists for more than two arms: the
//! probability of the best is that of an orthant. Along a line z = w + c·u, c ~ N(0, 1) and w ⟂ u, though, the values are
//! straight lines in c, which cross where c is known, and the probability is exact. What is left, the mean over w, is taken
//! over a lattice with random shifts (Genz & Bretz 2009, chapter 4), whose spread gives the standard error.
//!
//! u is chosen for each arm so that its value rises against all others, as far as such a u exists: it does for every
//! arm that one draw can make the best, since the best arm of a linear model is a vertex of the convex hull of the
//! arms' features. The arm is then best from some c on along every line, and its probability is positive on each.

use super::law::normal_distribution;
use super::ranks::{point_inclusion, tied};

/// Random shifts of the lattice.
const SHIFTS: usize = 8;
/// Points of a lattice; lines, then, are `SHIFTS` times as many.
const POINTS: usize = 256;
/// The least probability that is given to an arm.
const LEAST: f64 = 1e-12;
/// Steps in which a direction is looked for.
const STEPS: usize = 400;

/// The arms of a shared model.
#[derive(Debug, Clone)]
pub(crate) struct SharedDraw {
    /// m, one an arm.
    pub(crate) means: Vec<f64>,
    /// g, (arms, d), row-major: a draw's deviation from m is g·z.
    pub(crate) rows: Vec<f64>,
}

/// The probability that each arm is shown, and its standard error; `weights` by rank.
pub(crate) fn inclusion_of_shared(draw: &SharedDraw, weights: &[f64]) -> Vec<(f64, f64)> {
    let count = draw.means.len();
    let lines = Lines::new(draw);
    if lines.rank == 0 {
        // Every draw moves all values alike.
        return point_inclusion(&draw.means, weights).into_iter().map(|probability| (probability, 0.0)).collect();
    }
    let directions: Vec<Direction> = (0..count).map(|arm| lines.direction(arm)).collect();
    let (shifts, points) = if lines.rank == 1 { (1, 1) } else { (SHIFTS, POINTS) };
    let mut lattice = Lattice::new(lines.rank);
    let mut means = vec![vec![0.0; count]; shifts];
    let (mut z, mut values, mut events) = (vec![0.0; lines.rank], vec![0.0; count], Vec::new());
    for means in &mut means {
        lattice.shift();
        for point in 0..points {
            if lines.rank > 1 {
                lattice.normals(point, &mut z);
            }
            for (arm, value) in values.iter_mut().enumerate() {
                *value = lines.means[arm] + dot(lines.row(arm), &z);
            }
            for (arm, direction) in directions.iter().enumerate() {
                let shown = direction.along(arm, &values, dot(&direction.u, &z), weights, &mut events);
                means[arm] += shown / points as f64;
            }
        }
    }
    let positions: f64 = weights.iter().take(count).sum();
    normalise(&means, positions)
}

/// Means and standard errors over shifts, (shifts, arms), so scaled that the probabilities sum to the number of positions.
fn normalise(means: &[Vec<f64>], positions: f64) -> Vec<(f64, f64)> {
    let count = means.len() as f64;
    let entry = |arm: usize| {
        let mean = means.iter().map(|shift| shift[arm]).sum::<f64>() / count;
        let squares: f64 = means.iter().map(|shift| (shift[arm] - mean) * (shift[arm] - mean)).sum();
        (mean.max(LEAST), (squares / (count * (count - 1.0).max(1.0))).sqrt())
    };
    let entries: Vec<_> = (0..means.first().map_or(0, Vec::len)).map(entry).collect();
    let factor = positions / entries.iter().map(|(mean, _)| mean).sum::<f64>();
    entries.into_iter().map(|(mean, error)| (mean * factor, error * factor)).collect()
}

/// The rows in as few coordinates as they have: their differences span at most arms − 1 dimensions.
struct Lines {
    means: Vec<f64>,
    rows: Vec<f64>,
    rank: usize,
}

impl Lines {
    /// Gram–Schmidt with pivoting on the centred rows: what all values share does not decide.
    fn new(draw: &SharedDraw) -> Self {
        let count = draw.means.len();
        let dimension = draw.rows.len() / count.max(1);
        let mut centred = draw.rows.clone();
        for column in 0..dimension {
            let mean = (0..count).map(|arm| draw.rows[arm * dimension + column]).sum::<f64>() / count as f64;
            (0..count).for_each(|arm| centred[arm * dimension + column] -= mean);
        }
        let mut basis: Vec<Vec<f64>> = Vec::new();
        let mut left = centred.clone();
        let mut largest = 0.0f64;
        while basis.len() < dimension.min(count.saturating_sub(1)) {
            let norms = left.chunks_exact(dimension).map(|row| dot(row, row).sqrt());
            let Some((pivot, norm)) = norms.enumerate().max_by(|left, right| left.1.total_cmp(&right.1)) else { break };
            largest = largest.max(norm);
            if norm <= 1e-13 * largest || norm == 0.0 {
                break;
            }
            let unit: Vec<f64> = left[pivot * dimension..][..dimension].iter().map(|value| value / norm).collect();
            for row in left.chunks_exact_mut(dimension) {
                let along = dot(row, &unit);
                row.iter_mut().zip(&unit).for_each(|(value, unit)| *value -= along * unit);
            }
            basis.push(unit);
        }
        // Equal rows get equal coordinates, to the bit.
        let rows = centred.chunks_exact(dimension.max(1)).flat_map(|row| basis.iter().map(move |unit| dot(row, unit)));
        Self { means: draw.means.clone(), rows: rows.collect(), rank: basis.len() }
    }

    fn row(&self, arm: usize) -> &[f64] {
        &self.rows[arm * self.rank..][..self.rank]
    }

    /// A direction along which the value of this arm rises against all others, if there is one, at the largest angle:
    /// the point of least norm in the convex hull of the unit differences (Gilbert 1966).
    fn direction(&self, arm: usize) -> Direction {
        let count = self.means.len();
        let differences: Vec<Vec<f64>> = (0..count)
            .filter(|other| self.row(*other) != self.row(arm))
            .map(|other| {
                let difference: Vec<f64> = self.row(arm).iter().zip(self.row(other)).map(|(a, b)| a - b).collect();
                let norm = dot(&difference, &difference).sqrt();
                difference.iter().map(|value| value / norm).collect()
            })
            .collect();
        let mut point = vec![0.0; self.rank];
        for difference in &differences {
            point.iter_mut().zip(difference).for_each(|(value, part)| *value += part / differences.len() as f64);
        }
        for _ in 0..STEPS {
            let products = differences.iter().map(|difference| dot(&point, difference));
            let Some((vertex, least)) = products.enumerate().min_by(|left, right| left.1.total_cmp(&right.1)) else {
                break;
            };
            let square = dot(&point, &point);
            if least >= 0.95 * square || square < 1e-24 {
                break;
            }
            let away = square - 2.0 * least + 1.0;
            let step = ((square - least) / away).clamp(0.0, 1.0);
            point.iter_mut().zip(&differences[vertex]).for_each(|(value, part)| *value += step * (part - *value));
        }
        let norm = dot(&point, &point).sqrt();
        let mut u = vec![0.0; self.rank];
        if norm > 1e-12 {
            u.iter_mut().zip(&point).for_each(|(u, value)| *u = value / norm);
        } else {
            u[0] = 1.0;
        }
        let slopes = (0..count).map(|other| dot(self.row(other), &u)).collect();
        Direction { u, slopes }
    }
}

/// The direction of the lines for one arm, and the slope of each value along them.
struct Direction {
    u: Vec<f64>,
    slopes: Vec<f64>,
}

impl Direction {
    /// The probability that the arm is shown along the line through a point, where the values are these; `along` is the
    /// coordinate of that point on the line.
    fn along(&self, arm: usize, values: &[f64], along: f64, weights: &[f64], events: &mut Vec<(f64, bool)>) -> f64 {
        events.clear();
        // How many are above at the lower end of the line, and how many are equal everywhere.
        let (mut above, mut ties) = (0, 0);
        for (other, value) in values.iter().enumerate() {
            if other == arm {
                continue;
            }
            let slope = self.slopes[arm] - self.slopes[other];
            let gap = values[arm] - value;
            // The values cross at c = along − gap/slope.
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

/// The probability that fewer than `shown` others are above, where `always` are so everywhere and the others fall below at
/// their crossings, one after the other: the common case, without sorting.
fn shown_in_the_end(crossings: &mut [(f64, bool)], always: usize, shown: usize) -> f64 {
    if always >= shown {
        return 0.0;
    }
    // The arm is shown once so many others at most are left above.
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

/// Φ(high) − Φ(low), from the nearer tail.
fn between(low: f64, high: f64) -> f64 {
    if low > 0.0 {
        normal_distribution(-low) - normal_distribution(-high)
    } else {
        normal_distribution(high) - normal_distribution(low)
    }
}

/// Richtmyer's lattice, the multiples of square roots of primes, shifted and folded.
struct Lattice {
    roots: Vec<f64>,
    shifts: Vec<f64>,
    state: u64,
}

impl Lattice {
    /// For normals in so many dimensions; uniform numbers are needed in pairs.
    fn new(dimension: usize) -> Self {
        let count = dimension.next_multiple_of(2);
        let mut primes: Vec<u32> = Vec::with_capacity(count);
        let mut number = 2;
        while primes.len() < count {
            if primes.iter().take_while(|prime| *prime * *prime <= number).all(|prime| number % prime != 0) {
                primes.push(number);
            }
            number += 1;
        }
        let roots = primes.into_iter().map(|prime| f64::from(prime).sqrt().fract()).collect();
        Self { roots, shifts: vec![0.0; count], state: 0x5EED }
    }

    /// The next shift: always the same sequence, so that a propensity is a function of the policy alone (SplitMix64).
    fn shift(&mut self) {
        for shift in &mut self.shifts {
            self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = self.state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            *shift = ((mixed ^ (mixed >> 31)) >> 11) as f64 * 2f64.powi(-53);
        }
    }

    /// Standard normals at a point, by Box and Muller.
    fn normals(&self, point: usize, out: &mut [f64]) {
        let uniform = |index: usize| {
            let place = (point as f64 * self.roots[index] + self.shifts[index]).fract();
            (2.0 * place - 1.0).abs().clamp(1e-16, 1.0)
        };
        for (pair, values) in out.chunks_mut(2).enumerate() {
            let radius = (-2.0 * uniform(2 * pair).ln()).sqrt();
            let (sine, cosine) = (std::f64::consts::TAU * uniform(2 * pair + 1)).sin_cos();
            values[0] = radius * cosine;
            if let Some(second) = values.get_mut(1) {
                *second = radius * sine;
            }
        }
    }
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores are linear: m = θ'x and g = x with unit covariance.
    fn linear(theta: &[f64], rows: &[f64]) -> SharedDraw {
        let means = rows.chunks_exact(theta.len()).map(|row| dot(row, theta)).collect();
        SharedDraw { means, rows: rows.to_vec() }
    }

    #[test]
    fn two_arms_have_their_closed_form() {
        let draw = linear(&[0.4, -0.2, 1.0], &[1.0, 2.0, 0.5, -1.0, 0.5, 0.25]);
        let gap = draw.means[0] - draw.means[1];
        let expected = normal_distribution(gap / (4.0f64 + 2.25 + 0.0625).sqrt());
        let got = inclusion_of_shared(&draw, &[1.0]);
        assert!((got[0].0 - expected).abs() < 1e-14 && (got[0].0 + got[1].0 - 1.0).abs() < 1e-14, "{got:?}");
    }

    #[test]
    fn three_arms_in_the_plane_have_the_angles_of_their_cones() {
        // With θ = 0 the probability of a vertex is the angle of its normal cone over 2π: for a triangle π less the
        // angle at the vertex.
        let rows: [f64; 6] = [0.0, 0.0, 4.0, 0.0, 0.0, 3.0];
        let got = inclusion_of_shared(&linear(&[0.0, 0.0], &rows), &[1.0]);
        let angles = [std::f64::consts::FRAC_PI_2, 3f64.atan2(4.0), 4f64.atan2(3.0)];
        for ((probability, error), angle) in got.iter().zip(angles) {
            let expected = 0.5 - angle / std::f64::consts::TAU;
            let gap = (probability - expected).abs();
            assert!(gap < 5.0 * error + 1e-9 && *error < 2e-3, "{probability} ± {error}, {expected}");
        }
    }

    #[test]
    fn an_arm_inside_the_hull_is_never_best_and_equal_arms_share() {
        let rows = [1.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.1, 0.1, 1.0, 0.0];
        let got = inclusion_of_shared(&linear(&[0.3, 0.1], &rows), &[1.0]);
        assert!(got[4].0 < 2e-12, "{got:?}");
        assert_eq!(got[0].0, got[5].0);
        assert!((got.iter().map(|(probability, _)| probability).sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_vertex_far_from_the_mean_is_rare_but_never_impossible() {
        let rows = [1.0, 0.0, 0.0, 1.0, -1.0, -1.0];
        let got = inclusion_of_shared(&linear(&[6.0, 0.0], &rows), &[1.0]);
        // Arm 2 needs z₀ < −6 − z₁ − … : θ̃ in the cone of −1, −1.
        assert!(got[2].0 > 1e-12 && got[2].0 < 1e-4, "{got:?}");
    }

    #[test]
    fn the_way_without_sorting_gives_what_the_sweep_gives() {
        let slopes = vec![5.0, 1.0, -2.0, 0.5, 4.0, 2.0];
        let direction = Direction { u: vec![1.0], slopes };
        let values: Vec<f64> = (0..6).map(|index| (index as f64 * 2.3).sin()).collect();
        for shown in 1..7 {
            let weights = vec![1.0; shown];
            let fast = direction.along(0, &values, 0.3, &weights, &mut Vec::new());
            // A last weight a little off goes through the sweep.
            let mut other = weights.clone();
            other.push(1e-300);
            let sweep = direction.along(0, &values, 0.3, &other, &mut Vec::new());
            assert!((fast - sweep).abs() < 1e-14, "{shown}: {fast} {sweep}");
        }
    }

    #[test]
    fn all_of_two_slots_sum_to_two_and_a_slate_of_all_shows_all() {
        let rows: Vec<f64> = (0..18).map(|index| (index as f64 * 1.7).sin()).collect();
        let draw = linear(&[0.5, -0.5, 0.2], &rows);
        let two = inclusion_of_shared(&draw, &[1.0, 1.0]);
        assert!((two.iter().map(|(probability, _)| probability).sum::<f64>() - 2.0).abs() < 1e-12);
        let all = inclusion_of_shared(&draw, &[1.0; 6]);
        assert!(all.iter().all(|(probability, _)| (probability - 1.0).abs() < 1e-12), "{all:?}");
    }
}
