//! Newton's method for the mode of a logistic regression on a small batch, with fewer observations than weights. It
//! works in the space of the observations. The prior is Gaussian with a diagonal precision.
//!
//! With X the contexts of shape (n, d), and N(g, S⁻¹) the prior, the mode is g + S⁻¹X'a with a ∈ ℝⁿ, since the gradient
//! of the loss lies in the span of the contexts. With K = XS⁻¹X' and log-odds f = Xg + Ka, a Newton step solves for
//!
//! B = I + W^½KW^½, b = W(f − Xg) + w(r − σ(f)), a ← b − W^½B⁻¹W^½Kb,
//!
//! with W = diag(wσ(1 − σ)), rewards r and observation weights w (Rasmussen & Williams 2006, Algorithm 3.1, with a
//! prior mean). The eigenvalues of B are at least 1, so that its Cholesky factorisation cannot fail. The cost is
//! O(n²d + n³), instead of O(nd² + d³) for the Hessian over all weights.

use super::logistic::{curvature, loss, residual};
use super::newton::{self, dot};
use crate::error::{Error, Result};

/// Smallest number of weights at which the solver in the space of the observations is used. The batch must also have at
/// most half as many observations as weights.
const LEAST_DIMENSION: usize = 32;
// In the tail of the logistic function, a step adds about 1 to the log-odds: 230 steps for a prior variance of 1e100.
const STEPS: usize = 500;

/// Returns whether a batch is small enough for the solver in the space of the observations.
pub(super) fn is_worth_it(observations: usize, dimension: usize) -> bool {
    dimension >= LEAST_DIMENSION && 2 * observations <= dimension
}

/// Batch of observations with the Gaussian prior N(g, S⁻¹) of the weights: mean g, diagonal of S, contexts of shape (n,
/// d) row-major, rewards and observation weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct DualProblem<'a> {
    pub(super) mean: &'a [f64],
    pub(super) precision: &'a [f64],
    pub(super) contexts: &'a [f64],
    pub(super) rewards: &'a [f64],
    pub(super) weights: &'a [f64],
}

/// Buffers of the solver, which are reused so that only the largest batch allocates.
#[derive(Debug, Clone, Default)]
pub(super) struct DualWorkspace {
    /// Kernel matrix K = XS⁻¹X' of the contexts X under the prior precision S, shape (n, n).
    kernel: Vec<f64>,
    /// Matrix B of the linear system that a Newton step solves (see the module's formulas). It holds the lower triangle
    /// of B, row by row, and later the Cholesky factor.
    factor: Vec<f64>,
    /// Log-odds Xg of each observation at the prior mean g.
    prior: Vec<f64>,
    /// Log-odds f of the observations at the best point so far. `tried` holds them at the point being tried.
    log_odds: Vec<f64>,
    tried: Vec<f64>,
    a: Vec<f64>,
    next: Vec<f64>,
    /// Square root of the curvature of each observation's loss.
    roots: Vec<f64>,
    right: Vec<f64>,
}

impl DualProblem<'_> {
    /// Computes the posterior mode of the weights and writes it to `point`.
    ///
    /// # Errors
    /// Fails if values are so large that the objective overflows, or after the largest allowed number of steps.
    pub(super) fn solve(&self, space: &mut DualWorkspace, point: &mut Vec<f64>) -> Result<()> {
        self.prepare(space);
        let count = self.rewards.len();
        let mut value = self.value(&space.a, &space.log_odds, &space.prior);
        let finite = |value: f64| {
            let what = "objective of Newton's method";
            if value.is_finite() { Ok(value) } else { Err(Error::NotFinite { what, index: 0, value }) }
        };
        finite(value)?;
        for _ in 0..STEPS {
            self.newton_point(space)?;
            // Near the mode, rounding hides the descent. An increase within rounding is therefore accepted, so that the
            // full step is taken. All terms of the value are positive and keep their digits, so that this works for any
            // size of the value.
            let highest = value * (1.0 + 1e-12);
            let mut length = 1.0;
            loop {
                // Computes a + length·(next − a), and f at that point.
                for index in 0..count {
                    space.right[index] = space.a[index] + length * (space.next[index] - space.a[index]);
                }
                for index in 0..count {
                    let row = &space.kernel[index * count..][..count];
                    space.tried[index] = space.prior[index] + dot(row, &space.right);
                }
                value = self.value(&space.right, &space.tried, &space.prior);
                if value <= highest || length < 1e-10 {
                    break;
                }
                length *= 0.5;
            }
            finite(value)?;
            let moved = space.log_odds.iter().zip(&space.tried).map(|(old, new)| (new - old).abs()).fold(0.0, f64::max);
            let size = space.tried.iter().map(|value| value.abs()).fold(1.0, f64::max);
            std::mem::swap(&mut space.a, &mut space.right);
            std::mem::swap(&mut space.log_odds, &mut space.tried);
            // Steps converge quadratically: after a step of 1e-9, the next one would be lost in rounding.
            if moved <= 1e-9 * size {
                self.weights_at(space, point);
                return Ok(());
            }
        }
        Err(Error::NoConvergence { what: "Newton's method", iterations: STEPS })
    }

    /// Computes the kernel matrix K and the log-odds Xg at the prior mean. The iteration starts at the prior mean,
    /// where the coefficients a of the observations are 0.
    fn prepare(&self, space: &mut DualWorkspace) {
        let (count, dimension) = (self.rewards.len(), self.mean.len());
        let row = |index: usize| &self.contexts[index * dimension..][..dimension];
        for vector in [&mut space.a, &mut space.next, &mut space.roots, &mut space.right, &mut space.tried] {
            vector.clear();
            vector.resize(count, 0.0);
        }
        space.kernel.clear();
        space.kernel.resize(count * count, 0.0);
        space.prior.clear();
        for left in 0..count {
            space.prior.push(dot(row(left), self.mean));
            for right in 0..=left {
                let products = row(left).iter().zip(row(right)).zip(self.precision);
                let entry = products.map(|((a, b), precision)| a / precision * b).sum();
                space.kernel[left * count + right] = entry;
                space.kernel[right * count + left] = entry;
            }
        }
        space.log_odds.clear();
        space.log_odds.extend_from_slice(&space.prior);
    }

    /// Objective ½a'Ka + Σ w(ln(1 + e^f) − rf) of the coefficients a, with kernel matrix K, log-odds f, rewards r and
    /// observation weights w. The product Ka is f − Xg, where Xg (`prior`) are the log-odds at the prior mean.
    fn value(&self, a: &[f64], log_odds: &[f64], prior: &[f64]) -> f64 {
        let observations = self.rewards.iter().zip(self.weights).zip(log_odds);
        let loss: f64 = observations.map(|((reward, weight), f)| weight * loss(*f, *reward)).sum();
        let moved = log_odds.iter().zip(prior).map(|(f, prior)| f - prior);
        loss + 0.5 * a.iter().zip(moved).map(|(a, moved)| a * moved).sum::<f64>()
    }

    /// Computes the point of a full Newton step, and writes it to `next`.
    fn newton_point(&self, space: &mut DualWorkspace) -> Result<()> {
        let count = self.rewards.len();
        let DualWorkspace { kernel, factor, prior, log_odds, next, roots, right, .. } = space;
        for index in 0..count {
            let (f, weight) = (log_odds[index], self.weights[index]);
            let curvature = weight * curvature(f);
            roots[index] = curvature.sqrt();
            next[index] = curvature * (f - prior[index]) + weight * residual(f, self.rewards[index]);
        }
        factor.clear();
        for left in 0..count {
            for other in 0..=left {
                let identity = if left == other { 1.0 } else { 0.0 };
                factor.push(identity + roots[left] * kernel[left * count + other] * roots[other]);
            }
            right[left] = roots[left] * dot(&kernel[left * count..][..count], next);
        }
        newton::factor(factor, count)?;
        newton::solve_factored(factor, right);
        for index in 0..count {
            next[index] -= roots[index] * right[index];
        }
        Ok(())
    }

    /// Computes the regression weights g + S⁻¹X'a from the coefficients a of the observations, and writes them to
    /// `point`.
    fn weights_at(&self, space: &DualWorkspace, point: &mut Vec<f64>) {
        point.clear();
        point.resize(self.mean.len(), 0.0);
        for (row, a) in self.contexts.chunks_exact(self.mean.len()).zip(&space.a) {
            point.iter_mut().zip(row).for_each(|(sum, value)| *sum += a * value);
        }
        for ((sum, mean), precision) in point.iter_mut().zip(self.mean).zip(self.precision) {
            *sum = mean + *sum / precision;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::newton::{Problem, Workspace};
    use super::*;
    use crate::posterior::sigmoid;

    fn wave(count: usize, step: f64) -> Vec<f64> {
        (0..count).map(|index| (index as f64 * step + 0.3).sin()).collect()
    }

    #[test]
    fn the_mode_is_that_of_the_hessian_over_all_weights() {
        for (count, dimension) in [(1, 32), (5, 40), (20, 64), (30, 200)] {
            let (mean, contexts) = (wave(dimension, 0.7), wave(count * dimension, 1.3));
            let precision: Vec<_> = wave(dimension, 2.1).iter().map(|value| 1.1 + value).collect();
            let rewards: Vec<_> = (0..count).map(|index| (index % 3) as f64 / 2.0).collect();
            let weights: Vec<_> = (0..count).map(|index| 0.5 + index as f64).collect();
            let (mut space, mut point) = (DualWorkspace::default(), Vec::new());
            let [mean, precision, contexts, rewards, weights] =
                [&mean[..], &precision[..], &contexts[..], &rewards[..], &weights[..]];
            let dual = DualProblem { mean, precision, contexts, rewards, weights };
            dual.solve(&mut space, &mut point).unwrap();
            let mut dense = Workspace::default();
            Problem { mean, precision, contexts, rewards, weights }.solve(&mut dense).unwrap();
            let gap = point.iter().zip(&dense.point).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(gap < 1e-9, "{count} {dimension}: {gap}");
            // At the mode, the gradient of the objective over all weights is zero.
            for column in 0..dimension {
                let mut slope = precision[column] * (point[column] - mean[column]);
                for index in 0..count {
                    let row = &contexts[index * dimension..][..dimension];
                    slope += weights[index] * (sigmoid(dot(row, &point)) - rewards[index]) * row[column];
                }
                assert!(slope.abs() < 1e-9, "{count} {dimension}: {slope}");
            }
        }
    }

    #[test]
    fn separable_rewards_under_a_wide_prior_have_a_mode_too() {
        let (count, dimension) = (4, 32);
        let contexts = wave(count * dimension, 1.3);
        let (mean, precision) = (vec![0.0; dimension], vec![1e-8; dimension]);
        let (rewards, weights) = ([1.0, 0.0, 1.0, 0.0], [1.0; 4]);
        let [mean, precision, contexts] = [&mean[..], &precision[..], &contexts[..]];
        let (mut space, mut point) = (DualWorkspace::default(), Vec::new());
        let dual = DualProblem { mean, precision, contexts, rewards: &rewards, weights: &weights };
        dual.solve(&mut space, &mut point).unwrap();
        for (index, row) in contexts.chunks(dimension).enumerate() {
            let f = dot(row, &point);
            // a = w(r − σ(f)) at the mode.
            assert!((space.a[index] - (rewards[index] - sigmoid(f))).abs() < 1e-9 * space.a[index].abs().max(1e-3));
        }
    }
}
