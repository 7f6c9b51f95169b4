//! A model's outputs as numbers of this program.

use candle_core::Tensor;

use crate::error::{Error, Result};

/// The rows of outputs (samples, outputs) of these samples.
///
/// # Errors
/// [`Error::NotFinite`] with the first sample of which a number is NaN or infinite; what candle reports.
pub fn finite_rows(outputs: &Tensor, samples: &[u64]) -> Result<Vec<Vec<f32>>> {
    let rows: Vec<Vec<f32>> = outputs.to_vec2()?;
    for (row, sample) in rows.iter().zip(samples) {
        if let Some(got) = row.iter().find(|value| !value.is_finite()) {
            return Err(Error::NotFinite { sample: *sample, got: *got });
        }
    }
    Ok(rows)
}

/// The first class of the highest probability, or of the highest logit.
pub fn most_probable(row: &[f32]) -> u32 {
    let best = |best: usize, class: usize| if row[class] > row[best] { class } else { best };
    (1..row.len()).fold(0, best) as u32
}
