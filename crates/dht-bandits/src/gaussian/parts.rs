//! Conversion of a factored covariance U·D·Uᵀ between plain column order and the memory layout in panels of eight
//! columns.

use super::factors::Factors;
use crate::error::Result;
use crate::validate::{check_factor, check_part};

/// Gaussian over one arm's weights: mean θ and covariance factors U and D, in plain column order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FactoredGaussian {
    pub(crate) mean: Vec<f64>,
    pub(crate) diagonal: Vec<f64>,
    /// Entries of U above its unit diagonal, column by column.
    pub(crate) upper: Vec<f64>,
}

impl Factors {
    pub(crate) fn parts(&self, slot: usize) -> FactoredGaussian {
        let dimension = self.dimension();
        FactoredGaussian {
            mean: (0..dimension).map(|coordinate| self.mean(slot, coordinate)).collect(),
            diagonal: (0..dimension).map(|coordinate| self.diagonal(slot, coordinate)).collect(),
            upper: (0..dimension)
                .flat_map(|column| (0..column).map(move |row| self.upper(slot, row, column)))
                .collect(),
        }
    }

    pub(crate) fn set(&mut self, slot: usize, mean: &[f64], diagonal: &[f64], upper: &[f64]) {
        for coordinate in 0..self.dimension() {
            *self.mean_mut(slot, coordinate) = mean[coordinate];
            *self.diagonal_mut(slot, coordinate) = diagonal[coordinate];
        }
        let mut entries = upper.iter();
        for column in 0..self.dimension() {
            for row in 0..column {
                if let Some(&entry) = entries.next() {
                    *self.upper_mut(slot, row, column) = entry;
                }
            }
        }
    }
}

pub(crate) fn check(dimension: usize, index: usize, mean: &[f64], diagonal: &[f64], upper: &[f64]) -> Result<()> {
    check_part("mean of arm", index, mean, dimension, false)?;
    check_part("diagonal of arm", index, diagonal, dimension, true)?;
    check_part("factor of arm", index, upper, dimension * dimension.saturating_sub(1) / 2, false)?;
    check_factor(index, mean, diagonal, upper)
}
