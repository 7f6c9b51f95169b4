//! Access to CPU tensors as slices.

use candle_core::{CpuStorage, DType, Error, InplaceOp1, Layout, Result, Storage, Tensor, Var};

/// Calls `f` with the values of contiguous f32 tensors on the CPU.
pub(crate) fn with_slices<R>(tensors: &[&Tensor], f: impl FnOnce(&[&[f32]]) -> Result<R>) -> Result<R> {
    with_weight_slices(tensors, |slices| {
        match tensors.iter().zip(slices).any(|(tensor, slice)| slice.len() < tensor.elem_count()) {
            true => Err(released()),
            false => f(slices),
        }
    })
}

/// Error of an operation that reads the values of a [released](release) variable.
pub(crate) fn released() -> Error {
    Error::Msg("the values of this weight were released, since a packed copy answers: load the model again".into()).bt()
}

/// Calls `f` with the values of contiguous f32 tensors on the CPU. The slice of a [released](release) variable is
/// empty.
pub(crate) fn with_weight_slices<R>(tensors: &[&Tensor], f: impl FnOnce(&[&[f32]]) -> Result<R>) -> Result<R> {
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
    let values = storage.as_slice::<f32>()?;
    Ok(if values.is_empty() { values } else { &values[start..end] })
}

/// Operation that frees the memory of a variable in place.
struct Release;

impl InplaceOp1 for Release {
    fn name(&self) -> &'static str {
        "release"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> Result<()> {
        *storage = CpuStorage::F32(Vec::new());
        Ok(())
    }
}

/// Returns whether the values of a variable on the CPU were [released](release).
pub(crate) fn is_released(var: &Var) -> bool {
    with_weight_slices(&[var.as_tensor()], |slices| Ok(slices[0].is_empty() && var.elem_count() > 0)).unwrap_or(false)
}

/// Frees the values of a variable on the CPU, and returns their size in bytes. The variable keeps its shape. Fused
/// operations that read its values fail afterwards; operations of candle panic.
pub(crate) fn release(var: &Var) -> Result<usize> {
    if is_released(var) || var.dtype() != DType::F32 || !var.device().is_cpu() {
        return Ok(0);
    }
    var.inplace_op1(&Release)?;
    Ok(var.elem_count() * size_of::<f32>())
}
