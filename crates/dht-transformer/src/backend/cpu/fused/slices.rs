//! Access to CPU tensors as slices.

use candle_core::{CpuStorage, Error, Layout, Result, Shape, Storage, Tensor};

/// Calls `f` with the values of contiguous f32 tensors on the CPU.
pub(crate) fn with_slices<R>(tensors: &[&Tensor], f: impl FnOnce(&[&[f32]]) -> Result<R>) -> Result<R> {
    let guards: Vec<_> = tensors.iter().map(|tensor| tensor.storage_and_layout()).collect();
    let slices = guards
        .iter()
        .map(|(storage, layout)| match &**storage {
            Storage::Cpu(storage) => slice(storage, layout),
            _ => Err(Error::Msg("a fused operation needs tensors on the CPU".into()).bt()),
        })
        .collect::<Result<Vec<_>>>()?;
    f(&slices)
}

/// Values of a contiguous f32 storage.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) = layout
        .contiguous_offsets()
        .ok_or_else(|| Error::Msg(format!("a fused operation needs contiguous rows, got {layout:?}")).bt())?;
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// Concatenates the rows of all blocks. A single block is not copied.
pub(crate) fn joined(mut blocks: Vec<Vec<f32>>) -> Vec<f32> {
    let _span = tracing::trace_span!("concatenating rows").entered();
    if blocks.len() == 1 { blocks.swap_remove(0) } else { blocks.concat() }
}

/// Result of an operation: rows of `width` values.
pub(crate) fn rows(numbers: Vec<f32>, width: usize) -> (CpuStorage, Shape) {
    let shape = Shape::from((numbers.len() / width, width));
    (CpuStorage::F32(numbers), shape)
}

/// Error of a second backward pass, or of a backward pass without a forward pass in training.
pub(crate) fn nothing_saved(name: &str) -> Error {
    Error::Msg(format!("{name}: a backward follows each training forward once; its activations are gone")).bt()
}
