//! Standardisation of dense features to mean 0 and standard deviation 1.

use super::rows::Rows;
use crate::error::Result;

/// Limit below which a column counts as constant: its standard deviation, as a fraction of the root mean square of all
/// columns' deviations.
const LEAST_DEVIATION: f64 = 1e-4;

/// Standardisation of dense features: (x − mean)/deviation for each value x of a column. Constant or almost constant
/// columns become 0.
#[derive(Debug, Clone)]
pub(crate) struct Standardisation {
    mean: Vec<f64>,
    /// Inverse standard deviation of each column; 0 for a column that counts as constant.
    inverse: Vec<f64>,
}

impl Standardisation {
    /// Computes mean and standard deviation over the selected rows. `chosen` has the indices of the rows, ascending;
    /// `None` selects all rows.
    pub(crate) fn new(states: &Rows, chosen: Option<&[usize]>) -> Result<Self> {
        let rows = chosen.map_or(states.len(), <[usize]>::len).max(1) as f64;
        let (mut mean, mut squares) = (vec![0.0; states.width()], vec![0.0; states.width()]);
        states.each(chosen, |row| {
            mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += f64::from(*value) / rows);
        })?;
        states.each(chosen, |row| {
            for ((squares, mean), value) in squares.iter_mut().zip(&mean).zip(row) {
                *squares += (f64::from(*value) - mean).powi(2) / rows;
            }
        })?;
        // Rounding gives a constant component a deviation of about its size times f32's epsilon. Some encoders have a
        // component that their layer norm scales by 1e-9. Its folded weight would be 1e9, so that every later change of
        // the encoder would change the output much.
        let usual = (squares.iter().sum::<f64>() / squares.len().max(1) as f64).sqrt();
        let inverse = squares.iter().zip(&mean).map(|(squares, mean)| {
            let (deviation, least) = (squares.sqrt(), 1e-6 * mean.abs() + LEAST_DEVIATION * usual);
            if deviation > least { 1.0 / deviation } else { 0.0 }
        });
        Ok(Self { inverse: inverse.collect(), mean })
    }

    /// Standardises rows of features, given in row-major order.
    pub(crate) fn apply(&self, states: &[f32]) -> Vec<f32> {
        let scale = |row: &[f32]| -> Vec<f32> {
            row.iter()
                .zip(self.columns())
                .map(|(x, (mean, inverse))| ((f64::from(*x) - mean) * inverse) as f32)
                .collect()
        };
        states.chunks_exact(self.mean.len()).flat_map(scale).collect()
    }

    pub(crate) fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Mean and inverse standard deviation of each column.
    pub(super) fn columns(&self) -> impl Iterator<Item = (f64, f64)> {
        self.mean.iter().copied().zip(self.inverse.iter().copied())
    }
}
