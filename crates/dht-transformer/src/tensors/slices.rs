//! Access to CPU tensors as slices.

use candle_core::{CpuStorage, Error, Layout, Result, Storage, Tensor};

/// Calls `f` with the values of contiguous f32 tensors on the CPU.
pub(crate) fn with_slices<R>(tensors: &[&Tensor], f: impl FnOnce(&[&[f32]]) -> Result<R>) -> Result<R> {
    let guards: Vec<_> = tensors.iter().map(|tensor| tensor.storage_and_layout()).collect();
    let slices = guards
        .iter()
        .map(|(storage, layout)| match &**storage {
            Storage::Cpu(storage) => slice(storage, layout),
            _ => Err(Error::Msg("expected tensors on the CPU".into()).bt()),
        })
        .collect::<Result<Vec<_>>>()?;
    f(&slices)
}

pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) = layout
        .contiguous_offsets()
        .ok_or_else(|| Error::Msg(format!("expected contiguous rows, got {layout:?}")).bt())?;
    Ok(&storage.as_slice::<f32>()?[start..end])
}
