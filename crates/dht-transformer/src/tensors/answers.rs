//! Conversion of a model's outputs to plain numbers.

use candle_core::Tensor;

use crate::error::{Error, Result};

/// Output rows (samples, outputs) of these samples.
///
/// # Errors
/// [`Error::NotFinite`] with the first sample that has a NaN or infinite value; the errors of candle.
pub fn finite_rows(outputs: &Tensor, samples: &[u64]) -> Result<Vec<Vec<f32>>> {
    let rows: Vec<Vec<f32>> = outputs.to_vec2()?;
    for (row, sample) in rows.iter().zip(samples) {
        if let Some(got) = row.iter().find(|value| !value.is_finite()) {
            return Err(Error::NotFinite { sample: *sample, got: *got });
        }
    }
    Ok(rows)
}
