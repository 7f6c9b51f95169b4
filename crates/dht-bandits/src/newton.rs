//! The mode of a logistic regression under a Gaussian prior with a diagonal precision, for a batch.

use crate::error::{Error, Result};
use crate::logistic::{sigmoid, softplus};
use nalgebra::{DMatrix, DVector};

/// ½ Σ_j s_j (p_j − g_j)² + Σ_i w_i (ln(1 + e^{p'x_i}) − r_i p'x_i), to be minimised over p.
pub(crate) struct Problem<'a> {
    pub(crate) mean: &'a [f64],
    pub(crate) precision: &'a [f64],
    /// Row-major.
    pub(crate) contexts: &'a [f64],
    pub(crate) rewards: &'a [f64],
    pub(crate) weights: &'a [f64],
}

const STEPS: usize = 100;

impl Problem<'_> {
    fn rows(&self) -> impl Iterator<Item = (&[f64], f64, f64)> {
        let rows = self.contexts.chunks_exact(self.mean.len());
        rows.zip(self.rewards).zip(self.weights).map(|((row, &reward), &weight)| (row, reward, weight))
    }

    fn value(&self, point: &DVector<f64>) -> f64 {
        let prior: f64 = (self.mean.iter().zip(self.precision).zip(point))
            .map(|((mean, precision), value)| 0.5 * precision * (value - mean) * (value - mean))
            .sum();
        let loss = |(row, reward, weight): (&[f64], f64, f64)| {
            let log_odds = dot(row, point.as_slice());
            weight * (softplus(log_odds) - reward * log_odds)
        };
        prior + self.rows().map(loss).sum::<f64>()
    }

    /// Damped Newton from the prior mean: the objective is strictly convex, so each step halves until it descends.
    ///
    /// # Errors
    /// Numbers so large that the objective overflows.
    pub(crate) fn solve(&self) -> Result<Vec<f64>> {
        let dimension = self.mean.len();
        let mut point = DVector::from_column_slice(self.mean);
        let mut value = self.value(&point);
        for _ in 0..STEPS {
            let mut gradient = DVector::from_fn(dimension, |j, _| self.precision[j] * (point[j] - self.mean[j]));
            let mut hessian = DMatrix::from_diagonal(&DVector::from_column_slice(self.precision));
            for (row, reward, weight) in self.rows() {
                let probability = sigmoid(dot(row, point.as_slice()));
                let row = DVector::from_column_slice(row);
                gradient.axpy(weight * (probability - reward), &row, 1.0);
                hessian.ger(weight * probability * (1.0 - probability), &row, &row, 1.0);
            }
            let factor = hessian.cholesky();
            let factor = factor.ok_or(Error::NotPositiveDefinite { what: "Hessian", pivot: 0, value: f64::NAN })?;
            let direction = factor.solve(&gradient);
            let decrement = direction.dot(&gradient);
            if !decrement.is_finite() {
                return Err(Error::NotFinite { what: "Newton decrement", index: 0, value: decrement });
            }
            let mut length = 1.0;
            let mut next = &point - &direction;
            // Near the mode rounding hides the descent: the full step is taken, and is the last.
            if decrement <= 1e-14 * (1.0 + value.abs()) {
                return Ok(next.as_slice().to_vec());
            }
            let mut next_value = self.value(&next);
            while next_value > value - 0.25 * length * decrement && length > 1e-10 {
                length *= 0.5;
                next = &point - &direction * length;
                next_value = self.value(&next);
            }
            (point, value) = (next, next_value);
        }
        Err(Error::NoConvergence { what: "Newton's method", iterations: STEPS })
    }
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}
