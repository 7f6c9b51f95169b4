//! CUDA kernels for y = LayerNorm(x + dropout(h + bias)), the end of a sublayer with its residual x, and for dropout
//! alone.

use candle_core::{CudaDevice, CudaStorage, DType, Result, Tensor};

use super::keys::{BatchKeys, words};
use super::launch::{Argument, Grid, Numbers, launch, room, suffix, tensor, with_numbers};
use crate::backend::cpu::Dropout;

/// Number of threads in a block of the forward pass. One warp processes a row.
const THREADS: u32 = 256;
const ROWS: usize = THREADS as usize / 32;
/// Number of threads in a block of the backward pass, where a row needs many registers.
const BACKWARD_THREADS: u32 = 128;
const BACKWARD_ROWS: usize = BACKWARD_THREADS as usize / 32;
const BLOCKS: usize = 396;
/// Number of columns that a warp processes in one iteration of its loop.
const STEP: usize = 256;
const STEPS: usize = 4;

const FORWARD: &str = "norm_forward";

/// Returns whether there is a layer-norm kernel for rows with `columns` columns.
pub(super) fn takes(columns: usize) -> bool {
    columns.is_multiple_of(2) && columns <= STEP * STEPS
}

/// Constants of the layer norm LayerNorm(x + dropout(h + bias)), without its tensors.
#[derive(Debug, Clone)]
pub(super) struct Norm {
    pub(super) epsilon: f64,
    /// Dropout applied to h + bias, with the keys of its masks. `None` if there is no dropout.
    pub(super) dropout: Option<(Dropout, BatchKeys)>,
}

/// Tensors of LayerNorm(x + dropout(h + bias)): h and the residual x are (rows, columns); the bias, the scale γ and the
/// shift β are (columns) in f32.
#[derive(Debug, Clone)]
pub(super) struct NormInputs {
    pub(super) x: Option<Tensor>,
    pub(super) h: Tensor,
    pub(super) bias: Option<Tensor>,
    pub(super) scale: Tensor,
    pub(super) shift: Tensor,
}

impl Norm {
    /// Launches a layer-norm kernel that reads the tensors `read` and writes to `written`. An entry of `read` may be
    /// absent.
    fn run(
        &self,
        (name, grid): (&str, &Grid),
        h: &Tensor,
        read: [Option<&Tensor>; 5],
        written: &[&CudaStorage],
    ) -> Result<()> {
        let ((rows, columns), device) = (h.dims2()?, h.device().as_cuda_device()?);
        let keys = self.dropout.as_ref().map(|(_, keys)| keys);
        let all: Vec<&Tensor> = read.into_iter().flatten().chain(keys.map(BatchKeys::tensor)).collect();
        with_numbers(&all, |numbers| {
            let wide = self.dropout.is_none()
                && columns.is_multiple_of(8)
                && name == FORWARD
                && numbers.iter().all(|numbers| numbers.aligned(8));
            let mut rest = numbers.iter().copied();
            let mut arguments = Vec::new();
            for tensor in read {
                arguments.push(tensor.and_then(|_| rest.next()).map_or(Argument::Absent, Argument::Numbers));
            }
            arguments.extend(written.iter().map(|storage| Argument::Numbers(Numbers::whole(storage))));
            arguments.extend(match (keys, rest.next()) {
                (Some(keys), Some(numbers)) => keys.rows(numbers),
                _ => [Argument::Absent, Argument::Absent],
            });
            arguments.extend([rows, columns].map(|count| Argument::Whole(count as u32)));
            arguments.push(Argument::Real(self.epsilon as f32));
            arguments.extend(words(self.dropout.as_ref().map(|(dropout, _)| *dropout)));
            let (suffix, steps) = (suffix(h.dtype())?, columns.div_ceil(STEP));
            let wide = if wide { "_wide" } else { "" };
            launch(device, &format!("{name}{wide}_{suffix}_{steps}"), grid, &arguments)
        })
    }

    pub(super) fn forward(&self, NormInputs { x, h, bias, scale, shift }: &NormInputs) -> Result<CudaStorage> {
        let (rows, columns) = h.dims2()?;
        let y = room(h.device().as_cuda_device()?, h.dtype(), rows * columns)?;
        let grid = Grid { blocks: [rows.div_ceil(ROWS), 1, 1], threads: THREADS, shared_floats: 0 };
        let read = [x.as_ref(), Some(h), bias.as_ref(), Some(scale), Some(shift)];
        self.run((FORWARD, &grid), h, read, &[&y])?;
        Ok(y)
    }

    /// Computes gradients from dy, the gradient of the layer norm's output. Returns the gradients of x and h, and one
    /// tensor (3, columns) with the gradients of the bias, γ and β.
    pub(super) fn backward(
        &self,
        NormInputs { x, h, bias, scale, .. }: &NormInputs,
        dy: &Tensor,
    ) -> Result<[Tensor; 3]> {
        let ((rows, columns), dtype, device) = (h.dims2()?, h.dtype(), h.device().as_cuda_device()?);
        let blocks = BLOCKS.min(rows.div_ceil(BACKWARD_ROWS).max(1));
        let (dz, dh) = (room(device, dtype, rows * columns)?, room(device, dtype, rows * columns)?);
        let (parts, sums) = (room(device, DType::F32, blocks * 3 * columns)?, room(device, DType::F32, 3 * columns)?);
        let grid = Grid { blocks: [blocks, 1, 1], threads: BACKWARD_THREADS, shared_floats: 3 * columns };
        let read = [x.as_ref(), Some(h), bias.as_ref(), Some(scale), Some(dy)];
        self.run(("norm_backward", &grid), h, read, &[&dz, &dh, &parts])?;
        column_sums(device, &parts, &sums, blocks, 3 * columns)?;
        Ok([tensor(dz, (rows, columns)), tensor(dh, (rows, columns)), tensor(sums, (3, columns))])
    }
}

/// Computes the sum of each column in f32, (rows, columns) → (columns).
pub(super) fn column_sums(
    device: &CudaDevice,
    parts: &CudaStorage,
    sums: &CudaStorage,
    rows: usize,
    columns: usize,
) -> Result<()> {
    let both = [parts, sums].map(|storage| Argument::Numbers(Numbers::whole(storage)));
    let sizes = [rows, columns].map(|count| Argument::Whole(count as u32));
    let arguments: Vec<_> = both.into_iter().chain(sizes).collect();
    let grid = Grid { blocks: [columns.div_ceil(THREADS as usize), 1, 1], threads: THREADS, shared_floats: 0 };
    launch(device, "column_sums", &grid, &arguments)
}

pub(super) fn drop_rows(x: &Tensor, (dropout, keys): (Dropout, &BatchKeys)) -> Result<CudaStorage> {
    let ((rows, columns), dtype, device) = (x.dims2()?, x.dtype(), x.device().as_cuda_device()?);
    let y = room(device, dtype, rows * columns)?;
    with_numbers(&[x, keys.tensor()], |numbers| {
        let mut arguments = vec![Argument::Numbers(numbers[0]), Argument::Numbers(Numbers::whole(&y))];
        arguments.extend(keys.rows(numbers[1]));
        arguments.push(Argument::Whole(columns as u32));
        arguments.extend(words(Some(dropout)));
        let grid = Grid { blocks: [rows, 1, 1], threads: THREADS, shared_floats: 0 };
        launch(device, &format!("drop_rows_{}", suffix(dtype)?), &grid, &arguments)
    })?;
    Ok(y)
}
