//! Helpers for the results of fused CPU operations.

use candle_core::{CpuStorage, Error, Shape};

/// Concatenates the rows of several blocks. A single block is returned without a copy.
pub(crate) fn joined(mut blocks: Vec<Vec<f32>>) -> Vec<f32> {
    let _span = tracing::trace_span!("concatenating rows").entered();
    if blocks.len() == 1 { blocks.swap_remove(0) } else { blocks.concat() }
}

/// Wraps rows of `width` values as the result of a candle operation.
pub(crate) fn rows(numbers: Vec<f32>, width: usize) -> (CpuStorage, Shape) {
    let shape = Shape::from((numbers.len() / width, width));
    (CpuStorage::F32(numbers), shape)
}

/// Error of a backward pass that has no saved activations. It ran twice, or followed a forward pass in inference mode.
pub(crate) fn nothing_saved(name: &str) -> Error {
    Error::Msg(format!("{name}: a backward follows each training forward once; its activations are gone")).bt()
}
