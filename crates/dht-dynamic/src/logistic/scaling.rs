//! Changes of variables in which the objective of a logistic regression has about the same curvature in every
//! direction.

use super::matrix::{FeatureMatrix, count};
use crate::error::Result;

/// Whitening reads at most this number of rows for each column.
const ROWS_PER_COLUMN: usize = 4;
/// Whitening is used where its preparation costs less than this number of evaluations of the objective.
const MOST_EVALUATIONS: usize = 10;
/// The least second derivative along any direction, as a share of the mean over all columns.
const FLOOR: f64 = 1e-3;

/// A linear change of variables of W (features, classes), followed by b (classes).
pub(super) enum Scaling {
    /// The scale of each feature, followed by that of the bias: the inverse square root of the second derivative.
    Diagonal(Vec<f64>),
    /// W = L⁻ᵀ·V, where L·Lᵀ is the second derivative by the weights of one class; and the scale of the bias.
    Whitened {
        /// L, (features, features), row after row.
        factor: Vec<f64>,
        features: usize,
        bias: f64,
    },
}

impl Scaling {
    /// The scaling of this matrix, for a loss with this second derivative by a score, and for this penalty. Also
    /// returns the FLOPs. `moments` are the matrix's [second moments](FeatureMatrix::second_moments), if they are
    /// known.
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
                && let Some((found, of_moments)) = features.second_moments(sample)?
            {
                flops += of_moments;
                *moments = Some(found);
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

    /// FLOPs of the solutions of triangular systems in one evaluation.
    pub(super) fn flops(&self, classes: usize) -> u64 {
        match self {
            Self::Diagonal(_) => 0,
            Self::Whitened { features, .. } => 2 * (features * features.saturating_sub(1) * classes) as u64,
        }
    }

    /// W and b of these variables.
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

    /// Gradient by the variables, of a gradient by W and b.
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

    /// Variables of W and b; the inverse of [`weights`](Self::weights).
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

/// Multiplies each row of `classes` values by its scale.
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
