//! CUDA kernels for y = f(u + bias), the bias and activation of the feed-forward sublayer. With the identity as f, they
//! add the bias after other matrix products.

use candle_core::{CudaStorage, DType, Result, Tensor};

use super::launch::{Argument, Grid, Numbers, launch, room, suffix, tensor, with_numbers};
use super::norm;
use crate::config::Activation;

const THREADS: u32 = 256;
/// Maximum number of thread blocks in a forward launch. Each thread loops over several values.
const BLOCKS: usize = 2_112;
/// Number of threads in a block of the backward launch.
const BACKWARD_THREADS: u32 = 128;
const STRIPS: usize = 256;

/// Kernel argument that selects the activation by a numeric code. `None` selects the identity.
fn kind(activation: Option<Activation>) -> Argument<'static> {
    Argument::Whole(match activation {
        Some(Activation::Gelu) => 0,
        Some(Activation::GeluNew) => 1,
        Some(Activation::Relu) => 2,
        None => 3,
    })
}

/// Number of values that one thread reads and writes at once: 8 if the number of columns and all addresses allow it,
/// otherwise 1.
fn at_once(columns: usize, numbers: &[Numbers<'_>]) -> usize {
    const MANY: usize = 8;
    let many = columns.is_multiple_of(MANY) && numbers.iter().all(|numbers| numbers.aligned(MANY));
    if many { MANY } else { 1 }
}

/// Computes f(u + bias) for u of shape (rows, columns) and a bias (columns) in f32.
pub(super) fn forward(u: &Tensor, bias: &Tensor, activation: Option<Activation>) -> Result<CudaStorage> {
    let (count, columns, device) = (u.elem_count(), bias.elem_count(), u.device().as_cuda_device()?);
    let y = room(device, u.dtype(), count)?;
    with_numbers(&[u, bias], |numbers| {
        let some = at_once(columns, numbers);
        let mut arguments: Vec<_> = numbers.iter().copied().map(Argument::Numbers).collect();
        arguments.push(Argument::Numbers(Numbers::whole(&y)));
        arguments.extend([Argument::Count(count), Argument::Whole(columns as u32), kind(activation)]);
        let blocks = count.div_ceil(THREADS as usize * some).min(BLOCKS);
        let grid = Grid { blocks: [blocks, 1, 1], threads: THREADS, shared_floats: 0 };
        launch(device, &format!("activation_forward_{}_{some}", suffix(u.dtype())?), &grid, &arguments)
    })?;
    Ok(y)
}

/// Computes the gradients of u and of the bias from dy, the gradient of f(u + bias).
pub(super) fn backward(u: &Tensor, bias: &Tensor, activation: Option<Activation>, dy: &Tensor) -> Result<[Tensor; 2]> {
    let ((rows, columns), dtype, device) = (u.dims2()?, u.dtype(), u.device().as_cuda_device()?);
    let strips = STRIPS.min(rows.max(1));
    let du = room(device, dtype, rows * columns)?;
    let (parts, sums) = (room(device, DType::F32, strips * columns)?, room(device, DType::F32, columns)?);
    with_numbers(&[u, bias, dy], |numbers| {
        let some = at_once(columns, numbers);
        let mut arguments: Vec<_> = numbers.iter().copied().map(Argument::Numbers).collect();
        arguments.extend([&du, &parts].map(|storage| Argument::Numbers(Numbers::whole(storage))));
        arguments.extend([rows, columns].map(|count| Argument::Whole(count as u32)));
        arguments.push(kind(activation));
        let blocks = [columns.div_ceil(BACKWARD_THREADS as usize * some), strips, 1];
        let grid = Grid { blocks, threads: BACKWARD_THREADS, shared_floats: 0 };
        launch(device, &format!("activation_backward_{}_{some}", suffix(dtype)?), &grid, &arguments)
    })?;
    norm::column_sums(device, &parts, &sums, strips, columns)?;
    Ok([tensor(du, u.shape()), tensor(sums, bias.shape())])
}

/// Computes the sum of each column, (rows, columns) → (columns), in f32.
pub(super) fn column_sums(rows: &Tensor) -> Result<Tensor> {
    let bias = Tensor::zeros(rows.dims2()?.1, DType::F32, rows.device())?;
    let [_, sums] = backward(rows, &bias, None, rows)?;
    Ok(sums)
}
