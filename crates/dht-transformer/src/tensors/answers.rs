//! Conversion of a model's outputs to vectors of plain numbers.

use candle_core::Tensor;

use crate::error::{Error, Result};

/// Converts outputs (samples, outputs) to one vector for each sample, and checks that all values are finite. `samples`
/// has the ids of the samples, for the error.
///
/// # Errors
/// [`Error::NotFinite`] for the first sample that has a NaN or infinite value;
/// [`Error::Candle`] if a tensor operation fails.
pub fn finite_rows(outputs: &Tensor, samples: &[u64]) -> Result<Vec<Vec<f32>>> {
    let rows: Vec<Vec<f32>> = outputs.to_vec2()?;
    for (row, sample) in rows.iter().zip(samples) {
        if let Some(got) = row.iter().find(|value| !value.is_finite()) {
            return Err(Error::NotFinite { sample: *sample, got: *got });
        }
    }
    Ok(rows)
}
