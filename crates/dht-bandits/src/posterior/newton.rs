//! Newton's method for the mode of a logistic regression on a batch. The prior is Gaussian with a diagonal precision.

use super::logistic::{curvature, loss, residual};
use crate::error::{Error, Result};

/// Logistic regression on a batch: minimises ½ Σ_j s_j (p_j − g_j)² + Σ_i w_i (ln(1 + e^{p'x_i}) − r_i p'x_i) over the
/// weights p. Weight j has the prior N(g_j, 1/s_j), and observation i the context x_i, the reward r_i and the weight
/// w_i.
pub(super) struct Problem<'a> {
    pub(crate) mean: &'a [f64],
    pub(super) precision: &'a [f64],
    /// Contexts of the batch, one row x_i for each observation, row-major.
    pub(super) contexts: &'a [f64],
    pub(super) rewards: &'a [f64],
    pub(super) weights: &'a [f64],
}

/// Buffers of the solver, which are reused from batch to batch to avoid allocations.
#[derive(Debug, Clone, Default)]
pub(super) struct Workspace {
    /// Posterior mode, after [`Problem::solve`]. During the iterations it is the difference from the prior mean.
    pub(super) point: Vec<f64>,
    next: Vec<f64>,
    /// Log-odds of each observation if the weights have their prior mean.
    odds: Vec<f64>,
    gradient: Vec<f64>,
    direction: Vec<f64>,
    /// Hessian of the objective: its lower triangle, row by row, and later its Cholesky factor.
    hessian: Vec<f64>,
}

// In the tail of the logistic function, a step adds about 1 to the log-odds: 230 steps for a prior variance of 1e100.
const STEPS: usize = 500;

impl Problem<'_> {
    /// Observations of the batch as (context, log-odds, reward, weight). Log-odds are those at prior mean + `distance`;
    /// the argument `odds` has the log-odds at the prior mean.
    fn rows<'a>(&'a self, odds: &'a [f64], distance: &'a [f64]) -> impl Iterator<Item = (&'a [f64], f64, f64, f64)> {
        let rows = self.contexts.chunks_exact(self.mean.len()).zip(odds);
        rows.zip(self.rewards)
            .zip(self.weights)
            .map(move |(((row, odds), &reward), &weight)| (row, odds + dot(row, distance), reward, weight))
    }

    fn value(&self, odds: &[f64], distance: &[f64]) -> f64 {
        let squares = self.precision.iter().zip(distance).map(|(precision, value)| 0.5 * precision * value * value);
        let losses = self.rows(odds, distance).map(|(_, log_odds, reward, weight)| weight * loss(log_odds, reward));
        squares.sum::<f64>() + losses.sum::<f64>()
    }

    /// Computes the gradient and Hessian of the objective at the current point.
    fn differentiate(&self, space: &mut Workspace) {
        let Workspace { point, odds, gradient, hessian, .. } = space;
        gradient.clear();
        gradient.extend(self.precision.iter().zip(&*point).map(|(precision, value)| precision * value));
        hessian.fill(0.0);
        for (j, precision) in self.precision.iter().enumerate() {
            hessian[packed(j) + j] = *precision;
        }
        for (row, log_odds, reward, weight) in self.rows(odds, point) {
            let (slope, curvature) = (-weight * residual(log_odds, reward), weight * curvature(log_odds));
            gradient.iter_mut().zip(row).for_each(|(entry, value)| *entry += slope * value);
            for (j, value) in row.iter().enumerate() {
                let scaled = curvature * value;
                let entries = hessian[packed(j)..=packed(j) + j].iter_mut();
                entries.zip(row).for_each(|(entry, value)| *entry += scaled * value);
            }
        }
    }

    /// Runs damped Newton steps from the prior mean to the mode. The objective is strictly convex, so that each step is
    /// halved until it descends. Iterates are differences from the mean, which keep their digits if the mean is large
    /// and its precision high.
    ///
    /// # Errors
    /// Fails if values are so large that the objective overflows.
    pub(super) fn solve(&self, space: &mut Workspace) -> Result<()> {
        let dimension = self.mean.len();
        for vector in [&mut space.point, &mut space.next, &mut space.direction] {
            vector.clear();
            vector.resize(dimension, 0.0);
        }
        space.odds.clear();
        space.odds.extend(self.contexts.chunks_exact(dimension).map(|row| dot(row, self.mean)));
        space.hessian.resize(packed(dimension), 0.0);
        let mut value = self.value(&space.odds, &space.point);
        for _ in 0..STEPS {
            self.differentiate(space);
            factor(&mut space.hessian, dimension)?;
            let Workspace { point, next, odds, gradient, direction, hessian } = space;
            direction.copy_from_slice(gradient);
            solve_factored(hessian, direction);
            let decrement = dot(direction, gradient);
            if !decrement.is_finite() {
                return Err(Error::NotFinite { what: "Newton decrement", index: 0, value: decrement });
            }
            let mut length = 1.0;
            step_along(point, direction, length, next);
            // Near the mode, rounding hides the descent, so that the full step is taken and is the last. All terms of
            // the value are positive and keep their digits, so that this works for any size of the value.
            if decrement <= 1e-14 * value {
                point.iter_mut().zip(&*next).zip(self.mean).for_each(|((point, next), mean)| *point = mean + next);
                return Ok(());
            }
            let mut next_value = self.value(odds, next);
            while next_value > value - 0.25 * length * decrement && length > 1e-10 {
                length *= 0.5;
                step_along(point, direction, length, next);
                next_value = self.value(odds, next);
            }
            std::mem::swap(point, next);
            value = next_value;
        }
        Err(Error::NoConvergence { what: "Newton's method", iterations: STEPS })
    }
}

/// Computes next = point − length·direction.
fn step_along(point: &[f64], direction: &[f64], length: f64, next: &mut [f64]) {
    for ((next, point), direction) in next.iter_mut().zip(point).zip(direction) {
        *next = point - length * direction;
    }
}

/// Index of a row's first entry in a packed lower triangle.
fn packed(row: usize) -> usize {
    row * (row + 1) / 2
}

/// Computes the Cholesky factorisation A = LLᵀ in place, on a packed lower triangle, row by row.
pub(super) fn factor(lower: &mut [f64], dimension: usize) -> Result<()> {
    for row in 0..dimension {
        let (before, current) = lower.split_at_mut(packed(row));
        for column in 0..row {
            let other = &before[packed(column)..=packed(column) + column];
            current[column] = (current[column] - dot(&current[..column], other)) / other[column];
        }
        let pivot = current[row] - dot(&current[..row], &current[..row]);
        if pivot.is_nan() || pivot <= 0.0 {
            return Err(Error::NotPositiveDefinite { what: "Hessian", pivot: row, value: pivot });
        }
        current[row] = pivot.sqrt();
    }
    Ok(())
}

/// Solves LLᵀx = b in place, with the packed Cholesky factor L. `solution` holds b on entry and x afterwards.
pub(super) fn solve_factored(lower: &[f64], solution: &mut [f64]) {
    for row in 0..solution.len() {
        let entries = &lower[packed(row)..=packed(row) + row];
        solution[row] = (solution[row] - dot(&entries[..row], solution)) / entries[row];
    }
    for row in (0..solution.len()).rev() {
        let entries = &lower[packed(row)..=packed(row) + row];
        solution[row] /= entries[row];
        let value = solution[row];
        solution[..row].iter_mut().zip(entries).for_each(|(left, entry)| *left -= entry * value);
    }
}

pub(super) fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factored_matrix_solves_what_it_multiplied() {
        for dimension in [1, 2, 5, 17] {
            let entry =
                |i: usize, j: usize| if i == j { dimension as f64 } else { ((i * 3 + j * 3 + i * j) as f64).cos() };
            let mut lower: Vec<_> = (0..dimension).flat_map(|i| (0..=i).map(move |j| entry(i, j))).collect();
            let x: Vec<_> = (0..dimension).map(|i| (i as f64 + 0.5).sin()).collect();
            let mut solution: Vec<f64> =
                (0..dimension).map(|i| (0..dimension).map(|j| entry(i.max(j), i.min(j)) * x[j]).sum()).collect();
            factor(&mut lower, dimension).unwrap();
            solve_factored(&lower, &mut solution);
            assert!(solution.iter().zip(&x).all(|(got, expected)| (got - expected).abs() < 1e-12));
        }
        let refused = factor(&mut [1.0, 2.0, 1.0], 2).unwrap_err();
        assert_eq!(refused, Error::NotPositiveDefinite { what: "Hessian", pivot: 1, value: -3.0 });
    }

    /// Pseudorandom numbers in (−1, 1), from a linear congruential generator.
    fn numbers(state: &mut u64) -> f64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 11) as f64 * 2f64.powi(-52) - 1.0
    }

    #[test]
    fn newton_finds_the_mode_at_large_means_and_high_precision() {
        let state = &mut 7;
        for case in 0..300 {
            let (dimension, count) = (17, 5);
            // Scales of features span three decades, weights have the inverse scale, and all rewards but a few are
            // certain.
            let scales: Vec<f64> = (0..dimension).map(|_| 10f64.powf(1.5 * numbers(state))).collect();
            let mean: Vec<f64> = scales.iter().map(|scale| 30.0 * numbers(state) / scale).collect();
            let precision: Vec<f64> =
                scales.iter().map(|scale| scale * scale * 10f64.powf(5.0 + 5.0 * numbers(state))).collect();
            let contexts: Vec<f64> =
                (0..count).flat_map(|_| scales.clone()).map(|scale| scale * numbers(state)).collect();
            let odds = |row: &[f64]| dot(row, &mean);
            let rewards: Vec<f64> =
                contexts.chunks(dimension).map(|row| if odds(row) > 0.0 { 1.0 } else { 0.0 }).collect();
            let weights = vec![1.0; count];
            let problem = Problem {
                mean: &mean,
                precision: &precision,
                contexts: &contexts,
                rewards: &rewards,
                weights: &weights,
            };
            let mut space = Workspace::default();
            let solved = problem.solve(&mut space);
            assert_eq!(solved, Ok(()), "case {case}");
            for (column, scale) in scales.iter().enumerate() {
                let prior = precision[column] * (space.point[column] - mean[column]);
                let rows = contexts.chunks(dimension).zip(&rewards);
                let slope: f64 =
                    rows.map(|(row, reward)| -residual(dot(row, &space.point), *reward) * row[column]).sum();
                // Rounding of the mean itself limits the accuracy.
                let rounding = 1e-15 * precision[column] * mean[column].abs();
                assert!((prior + slope).abs() <= 1e-9 * scale + rounding, "case {case}: {prior} {slope}");
            }
        }
    }
}
