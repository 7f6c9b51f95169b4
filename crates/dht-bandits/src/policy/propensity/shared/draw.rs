//! Probability that a slate shows an arm, if one draw of shared weights scores all arms.

use super::crossings::{Direction, LANES, add_products, by_coordinate};
use super::lattice::Lattice;
use super::lines::{Lines, SharedDraw, dot};
use crate::policy::propensity::ranks::point_inclusion;

/// Number of random shifts of the quasi-random lattice, for the integral over all arms.
const SHIFTS: usize = 8;
/// Number of random shifts of the quasi-random lattice, if only single arms are estimated.
const SHIFTS_OF_ESTIMATE: usize = 32;
/// Number of quasi-random points per shift of the lattice, for the integral over all arms. Each point defines one line
/// through the space of weights.
const POINTS: usize = 256;
/// Lower bound on a computed probability that a slate shows an arm.
const LEAST: f64 = 1e-12;

/// Estimated probability that a slate shows each of `arms`, with its standard error, as averages over random lines
/// through the space of weights. The cost is O(lines·N·(d + arms)) for N candidates with d features. Probabilities are
/// not scaled to a fixed sum, because probabilities of the other candidates are unknown.
pub(crate) fn inclusion_of_shared_arms(
    draw: &SharedDraw,
    arms: &[usize],
    weights: &[f64],
    count_of_lines: u32,
) -> Vec<(f64, f64)> {
    let count = draw.means.len();
    let lines = Lines::new(draw);
    if lines.rank == 0 {
        let shown = point_inclusion(&draw.means, weights);
        return arms.iter().map(|&arm| (shown[arm], 0.0)).collect();
    }
    let directions: Vec<Direction> = arms.iter().map(|&arm| lines.direction(arm)).collect();
    let rows = by_coordinate(&lines.rows, lines.rank);
    // Many shifts of few points are used: with few shifts, the standard error would itself be uncertain.
    let points = (count_of_lines as usize).div_ceil(SHIFTS_OF_ESTIMATE);
    let (shifts, points) = if lines.rank == 1 { (1, 1) } else { (SHIFTS_OF_ESTIMATE, points) };
    let mut lattice = Lattice::new(lines.rank);
    let padded = count.next_multiple_of(LANES);
    let (mut z, mut events) = (vec![0.0; lines.rank], Vec::new());
    let mut values = vec![0.0; padded];
    let mut means = vec![vec![0.0; arms.len()]; shifts];
    for means in &mut means {
        lattice.shift();
        for point in 0..points {
            if lines.rank > 1 {
                lattice.normals(point, &mut z);
            }
            values[..count].copy_from_slice(&lines.means);
            add_products(&rows, &z, &mut values);
            for ((mean, &arm), direction) in means.iter_mut().zip(arms).zip(&directions) {
                let along = dot(&direction.u, &z);
                let shown = if let [1.0] = weights {
                    direction.best_along(&values, arm, along)
                } else {
                    direction.shown_along(&values[..count], arm, along, weights, &mut events)
                };
                *mean += shown / points as f64;
            }
        }
    }
    (0..arms.len()).map(|arm| mean_and_error(&means, arm)).map(|(mean, error)| (mean.min(1.0), error)).collect()
}

/// Mean and standard error of one arm's probability over the random shifts of the quasi-random lattice. `means` has the
/// shape (shifts, arms).
fn mean_and_error(means: &[Vec<f64>], arm: usize) -> (f64, f64) {
    let count = means.len() as f64;
    let mean = means.iter().map(|shift| shift[arm]).sum::<f64>() / count;
    let squares: f64 = means.iter().map(|shift| (shift[arm] - mean) * (shift[arm] - mean)).sum();
    (mean.max(LEAST), (squares / (count * (count - 1.0).max(1.0))).sqrt())
}

/// Probability that a slate shows each arm, with its standard error, by integration over lines through the space of
/// weights. `weights` holds the probability that the arm of each rank is shown.
pub(crate) fn inclusion_of_shared(draw: &SharedDraw, weights: &[f64]) -> Vec<(f64, f64)> {
    let count = draw.means.len();
    let lines = Lines::new(draw);
    if lines.rank == 0 {
        // Every draw changes all values equally.
        return point_inclusion(&draw.means, weights).into_iter().map(|probability| (probability, 0.0)).collect();
    }
    let directions: Vec<Direction> = (0..count).map(|arm| lines.direction(arm)).collect();
    let along_by_arm =
        by_coordinate(&directions.iter().flat_map(|direction| direction.u.clone()).collect::<Vec<_>>(), lines.rank);
    let rows = by_coordinate(&lines.rows, lines.rank);
    let (shifts, points) = if lines.rank == 1 { (1, 1) } else { (SHIFTS, POINTS) };
    let mut lattice = Lattice::new(lines.rank);
    let mut means = vec![vec![0.0; count]; shifts];
    let padded = count.next_multiple_of(LANES);
    let (mut z, mut events) = (vec![0.0; lines.rank], Vec::new());
    let (mut values, mut along) = (vec![0.0; padded], vec![0.0; padded]);
    for means in &mut means {
        lattice.shift();
        for point in 0..points {
            if lines.rank > 1 {
                lattice.normals(point, &mut z);
            }
            values[..count].copy_from_slice(&lines.means);
            along.fill(0.0);
            add_products(&rows, &z, &mut values);
            add_products(&along_by_arm, &z, &mut along);
            for (arm, direction) in directions.iter().enumerate() {
                let shown = if let [1.0] = weights {
                    direction.best_along(&values, arm, along[arm])
                } else {
                    direction.shown_along(&values[..count], arm, along[arm], weights, &mut events)
                };
                means[arm] += shown / points as f64;
            }
        }
    }
    let positions: f64 = weights.iter().take(count).sum();
    normalise(&means, positions)
}

/// Averages probabilities over the random shifts of the quasi-random lattice, and scales the means and standard errors
/// so that the probabilities sum to the number of positions in a slate. `means` has the shape (shifts, arms). No
/// probability exceeds 1: if scaling would give an arm more, the excess is distributed to the other arms.
fn normalise(means: &[Vec<f64>], positions: f64) -> Vec<(f64, f64)> {
    let entries: Vec<_> = (0..means.first().map_or(0, Vec::len)).map(|arm| mean_and_error(means, arm)).collect();
    let (mut certain, mut factor) = (0, positions / entries.iter().map(|(mean, _)| mean).sum::<f64>());
    loop {
        // A larger factor only increases the number of arms that reach 1.
        let beyond = entries.iter().filter(|(mean, _)| mean * factor > 1.0).count();
        if beyond == certain || beyond == entries.len() {
            break;
        }
        certain = beyond;
        let rest: f64 = entries.iter().map(|(mean, _)| mean).filter(|mean| *mean * factor <= 1.0).sum();
        factor = factor.max((positions - certain as f64) / rest);
    }
    entries.into_iter().map(|(mean, error)| ((mean * factor).min(1.0), error * factor)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::propensity::law::normal_distribution;

    /// Joint distribution of linear scores under unit covariance: means θ'x and coefficients g = x for each feature row
    /// x.
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
        // With θ = 0, the probability of a vertex is the angle of its normal cone divided by 2π. For a triangle, the
        // cone's angle is π minus the angle at the vertex.
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
        // Arm 2 is best only if θ̃ is in the cone of (−1, −1), for example if z₀ < −6 − z₁ − ….
        assert!(got[2].0 > 1e-12 && got[2].0 < 1e-4, "{got:?}");
    }

    #[test]
    fn scaling_takes_no_probability_beyond_one() {
        // Two arms are shown in every draw and four share the third position, with estimates that differ between
        // shifts.
        let means = vec![vec![1.0, 1.0, 0.4, 0.3, 0.2, 0.05], vec![1.0, 0.999, 0.41, 0.28, 0.2, 0.07]];
        let got = normalise(&means, 3.0);
        assert!(got.iter().all(|(probability, _)| *probability <= 1.0), "{got:?}");
        assert!((got.iter().map(|(probability, _)| probability).sum::<f64>() - 3.0).abs() < 1e-12, "{got:?}");
        assert!(got[0].0 == 1.0 && got[2].0 > got[3].0 && got[4].0 > got[5].0, "{got:?}");
        // The excess of the first arm makes the probability of the second exceed 1.
        let got = normalise(&[vec![1.5, 0.9, 0.2, 0.1]], 2.4);
        let expected = [1.0, 1.0, 0.8 / 3.0, 0.4 / 3.0];
        assert!(got.iter().zip(expected).all(|((got, _), expected)| (got - expected).abs() < 1e-12), "{got:?}");
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
