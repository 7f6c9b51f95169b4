//! A factor taken out of its memory layout, and put back.

use crate::error::{Error, Result};
use crate::factor::Factors;
use crate::magnitude::check_factor;

/// θ, D and U of one arm in plain order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parts {
    pub(crate) mean: Vec<f64>,
    pub(crate) diagonal: Vec<f64>,
    /// Above the unit diagonal, column by column.
    pub(crate) upper: Vec<f64>,
}

impl Factors {
    pub(crate) fn parts(&self, slot: usize) -> Parts {
        let dimension = self.dimension();
        Parts {
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

/// Refuses a saved vector of the wrong length, not finite, or not positive where it must be.
pub(crate) fn check_part(
    what: &'static str,
    index: usize,
    values: &[f64],
    expected: usize,
    positive: bool,
) -> Result<()> {
    let problem = if values.len() != expected {
        format!("has length {}, expected {expected}", values.len())
    } else if let Some(place) = values.iter().position(|value| !value.is_finite() || (positive && *value <= 0.0)) {
        let wanted = if positive { "positive and finite" } else { "finite" };
        format!("entry {place} is {}, expected {wanted}", values[place])
    } else {
        return Ok(());
    };
    Err(Error::InvalidState { what, index, problem })
}

pub(crate) fn check(dimension: usize, index: usize, mean: &[f64], diagonal: &[f64], upper: &[f64]) -> Result<()> {
    check_part("mean of arm", index, mean, dimension, false)?;
    check_part("diagonal of arm", index, diagonal, dimension, true)?;
    check_part("factor of arm", index, upper, dimension * dimension.saturating_sub(1) / 2, false)?;
    check_factor(index, mean, diagonal, upper)
}
