//! Preconditioning of a regression fit: a linear change of variables, after which the objective has about the same
//! curvature in every direction.

use super::matrix::{FeatureMatrix, count};
use crate::error::Result;

/// Limit on the rows from which whitening estimates second moments, as a number of rows per column.
const ROWS_PER_COLUMN: usize = 4;
/// Limit on the cost of preparing the whitening, as a number of evaluations of the objective. If whitening would cost
/// as much or more, diagonal scaling is used.
const MOST_EVALUATIONS: usize = 10;
/// Constant that is added to the diagonal of the second-derivative matrix before whitening, as a fraction of the mean
/// of this diagonal. It keeps nearly constant directions from being scaled up without limit.
const FLOOR: f64 = 1e-3;

/// Preconditioner of a regression fit: a linear change of variables. The variables replace the weights, shape
/// (features, classes), followed by the biases, shape (classes,).
pub(super) enum Scaling {
    /// Scale of each feature, followed by the scale of the bias. A scale is the inverse square root of the objective's
    /// second derivative.
    Diagonal(Vec<f64>),
    /// Whitening: the weights are W = L⁻ᵀ·V, where V are the variables. L·Lᵀ is the objective's second derivative with
    /// respect to the weights of one class. The bias has a separate scale.
    Whitened {
        /// Cholesky factor L, shape (features, features), in row-major order.
        factor: Vec<f64>,
        features: usize,
        bias: f64,
    },
}

impl Scaling {
    /// Builds the preconditioner for a feature matrix. `curvature` is the second derivative of the loss with respect to
    /// a score. `moments` caches the [second moments](FeatureMatrix::second_moments) of the matrix. Also returns the
    /// FLOPs.
    pub(super) fn new(
        features: &FeatureMatrix,
        classes: usize,
        curvature: f64,
        penalty: f64,
        moments: &mut Option<Vec<f64>>,
    ) -> Result<(Self, u64)> {
        let bias = curvature.sqrt().recip();
        let (rows, columns) = (features.rows(), features.columns());
        let sample = rows.min(ROWS_PER_COLUMN * columns);
        let preparation = sample * columns * columns + columns.pow(3) / 6;
        let mut flops = 0;
        if preparation < MOST_EVALUATIONS * 2 * rows * columns * classes {
            if moments.is_none()
                && let Some((estimate, of_moments)) = features.second_moments(sample)?
            {
                flops += of_moments;
                *moments = Some(estimate);
            }
            if let Some(moments) = moments {
                let trace: f64 = moments.iter().step_by(columns + 1).sum();
                let least = penalty + FLOOR * curvature * trace / columns as f64;
                let mut factor: Vec<f64> = moments.iter().map(|moment| curvature * moment).collect();
                factor.iter_mut().step_by(columns + 1).for_each(|diagonal| *diagonal += least);
                flops += cholesky(&mut factor, columns);
                return Ok((Self::Whitened { factor, features: columns, bias }, flops));
            }
        }
        let of_features = features.squares()?.into_iter().map(|squares| penalty + curvature * squares / rows as f64);
        Ok((Self::Diagonal(of_features.map(|second| second.sqrt().recip()).chain([bias]).collect()), flops))
    }

    /// FLOPs of the whitening for one evaluation of the objective: it solves two triangular systems. Diagonal scaling
    /// counts as 0.
    pub(super) fn flops(&self, classes: usize) -> u64 {
        match self {
            Self::Diagonal(_) => 0,
            Self::Whitened { features, .. } => 2 * (features * features.saturating_sub(1) * classes) as u64,
        }
    }

    /// Converts the preconditioner's variables to the weights and biases of the regression.
    pub(super) fn weights(&self, variables: &[f64], classes: usize) -> Vec<f64> {
        let mut values = variables.to_vec();
        match self {
            Self::Diagonal(scales) => multiply_rows(&mut values, scales, classes),
            Self::Whitened { factor, features, bias } => {
                let (weights, of_bias) = values.split_at_mut(features * classes);
                of_bias.iter_mut().for_each(|value| *value *= bias);
                pulp::Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        for row in (0..*features).rev() {
                            let (above, here) = weights.split_at_mut(row * classes);
                            let (own, factors) = (&mut here[..classes], &factor[row * features..][..=row]);
                            own.iter_mut().for_each(|value| *value /= factors[row]);
                            for (above, factor) in above.chunks_exact_mut(classes).zip(factors) {
                                above.iter_mut().zip(&*own).for_each(|(above, own)| *above -= factor * own);
                            }
                        }
                    },
                );
            }
        }
        values
    }

    /// Converts a gradient with respect to weights and biases to the gradient with respect to the preconditioner's
    /// variables.
    pub(super) fn gradient(&self, mut gradient: Vec<f64>, classes: usize) -> Vec<f64> {
        match self {
            Self::Diagonal(scales) => multiply_rows(&mut gradient, scales, classes),
            Self::Whitened { factor, features, bias } => {
                let (weights, of_bias) = gradient.split_at_mut(features * classes);
                of_bias.iter_mut().for_each(|value| *value *= bias);
                pulp::Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        for row in 0..*features {
                            let (above, here) = weights.split_at_mut(row * classes);
                            let (own, factors) = (&mut here[..classes], &factor[row * features..][..=row]);
                            for (above, factor) in above.chunks_exact(classes).zip(factors) {
                                own.iter_mut().zip(above).for_each(|(own, above)| *own -= factor * above);
                            }
                            own.iter_mut().for_each(|value| *value /= factors[row]);
                        }
                    },
                );
            }
        }
        count(self.flops(classes) as usize / 2);
        gradient
    }

    /// Converts weights and biases to the variables. Inverse of [`weights`](Self::weights).
    pub(super) fn variables(&self, weights: &[f64], classes: usize) -> Vec<f64> {
        let mut values = weights.to_vec();
        match self {
            Self::Diagonal(scales) => {
                for (row, scale) in values.chunks_exact_mut(classes).zip(scales) {
                    row.iter_mut().for_each(|value| *value /= scale);
                }
            }
            Self::Whitened { factor, features, bias } => {
                for row in 0..*features {
                    for class in 0..classes {
                        let below =
                            (row..*features).map(|at| factor[at * features + row] * weights[at * classes + class]);
                        values[row * classes + class] = below.sum();
                    }
                }
                values[features * classes..].iter_mut().for_each(|value| *value /= bias);
            }
        }
        values
    }
}

fn multiply_rows(values: &mut [f64], scales: &[f64], classes: usize) {
    for (row, scale) in values.chunks_exact_mut(classes).zip(scales) {
        row.iter_mut().for_each(|value| *value *= scale);
    }
}

/// Replaces the lower triangle of a symmetric positive definite matrix by its Cholesky factor. Returns the FLOPs.
fn cholesky(matrix: &mut [f64], size: usize) -> u64 {
    let mut multiply_adds = 0;
    for row in 0..size {
        let (above, here) = matrix.split_at_mut(row * size);
        let own = &mut here[..size];
        for column in 0..=row {
            let other = if column < row { &above[column * size..column * size + column] } else { &[] };
            multiply_adds += column;
            let (known, rest) = own.split_at_mut(column);
            let sum = if column < row { dot(known, other) } else { dot(known, known) };
            let value = rest[0] - sum;
            rest[0] =
                if column < row { value / above[column * size + column] } else { value.max(f64::MIN_POSITIVE).sqrt() };
        }
    }
    count(multiply_adds);
    2 * multiply_adds as u64
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    super::minimize::dot(left, right)
}
