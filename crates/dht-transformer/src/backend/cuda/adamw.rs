//! One AdamW step of one parameter.

use candle_core::{DType, Result, Tensor, bail};

use super::launch::{Argument, Grid, Numbers, launch, room, tensor, with_numbers};

const THREADS: u32 = 256;
const BLOCKS: usize = 1_056;

/// Moves a parameter in place, and returns its next moments. `constants`: 1 − ηλ, the gradient's scale, 1 − β₁, β₂, 1 − β₂,
/// √(1 − β₂ᵗ), ε, η/(1 − β₁ᵗ). All tensors are of one shape, contiguous, in f32.
pub(super) fn step([parameter, first, second, gradient]: [&Tensor; 4], constants: [f32; 8]) -> Result<[Tensor; 2]> {
    let (count, device) = (parameter.elem_count(), parameter.device().as_cuda_device()?);
    let tensors = [parameter, first, second, gradient];
    if tensors.iter().any(|tensor| tensor.shape() != parameter.shape() || tensor.dtype() != DType::F32) {
        bail!("adamw takes a parameter, two moments and a gradient of one shape in f32");
    }
    let (next_first, next_second) = (room(device, DType::F32, count)?, room(device, DType::F32, count)?);
    with_numbers(&tensors, |numbers| {
        let mut arguments: Vec<_> = numbers.iter().copied().map(Argument::Numbers).collect();
        arguments.extend([&next_first, &next_second].map(|storage| Argument::Numbers(Numbers::whole(storage))));
        arguments.push(Argument::Count(count));
        arguments.extend(constants.map(Argument::Real));
        let blocks = count.div_ceil(THREADS as usize).min(BLOCKS);
        launch(device, "adamw", &Grid { blocks: [blocks, 1, 1], threads: THREADS, shared_floats: 0 }, &arguments)
    })?;
    Ok([tensor(next_first, parameter.shape()), tensor(next_second, parameter.shape())])
}
