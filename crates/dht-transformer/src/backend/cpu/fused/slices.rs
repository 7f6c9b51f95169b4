//! Helpers that build the results of operations on the CPU.

use candle_core::{CpuStorage, Error, Shape};

/// Concatenates the rows of all blocks. A single block is not copied.
pub(crate) fn joined(mut blocks: Vec<Vec<f32>>) -> Vec<f32> {
    let _span = tracing::trace_span!("concatenating rows").entered();
    if blocks.len() == 1 { blocks.swap_remove(0) } else { blocks.concat() }
}

/// Converts rows of `width` values to the result of an operation.
pub(crate) fn rows(numbers: Vec<f32>, width: usize) -> (CpuStorage, Shape) {
    let shape = Shape::from((numbers.len() / width, width));
    (CpuStorage::F32(numbers), shape)
}

/// Error of a second backward pass, or of a backward pass without a forward pass in training.
pub(crate) fn nothing_saved(name: &str) -> Error {
    Error::Msg(format!("{name}: a backward follows each training forward once; its activations are gone")).bt()
}
