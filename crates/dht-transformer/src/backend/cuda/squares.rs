//! Sums of squares on a GPU, for gradient norms.

use candle_core::{DType, Result, Tensor};

use super::launch::{Argument, Grid, Numbers, launch, room, tensor, with_numbers};

const THREADS: u32 = 256;
/// Number of partial sums that the GPU computes for each tensor. The CPU adds them up.
const PARTS: usize = 512;

/// Computes Σ x² of each tensor; all tensors are in f32 on one GPU. The results are copied to the CPU in one transfer.
pub(super) fn sums_of_squares(tensors: &[Tensor]) -> Result<Vec<f64>> {
    let Some(first) = tensors.first() else { return Ok(Vec::new()) };
    let device = first.device().as_cuda_device()?;
    let parts = room(device, DType::F32, tensors.len() * PARTS)?;
    for (index, x) in tensors.iter().enumerate() {
        let (x, count) = (x.contiguous()?, x.elem_count());
        with_numbers(&[&x], |numbers| {
            let written = Numbers::whole(&parts).after(index * PARTS);
            let arguments = [Argument::Numbers(numbers[0]), Argument::Numbers(written), Argument::Count(count)];
            let grid = Grid { blocks: [PARTS, 1, 1], threads: THREADS, shared_floats: 0 };
            launch(device, "squares", &grid, &arguments)
        })?;
    }
    let parts: Vec<f32> = tensor(parts, tensors.len() * PARTS).to_vec1()?;
    Ok(parts.chunks(PARTS).map(|parts| parts.iter().map(|part| f64::from(*part)).sum()).collect())
}
