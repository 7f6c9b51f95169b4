//! Bias and activation: y = f(u + bias), of the feed-forward; with the identity for f, of other products.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};

use super::launch::{Argument, Grid, Numbers, launch, room, suffix, tensor, with_numbers};
use super::norm::column_sums;
use crate::config::Activation;

const THREADS: u32 = 256;
/// Blocks of a forward, which go over the numbers in turns.
const BLOCKS: usize = 1_056;
/// Parts into which the rows of a backward are divided, each with sums of its own.
const STRIPS: usize = 64;

/// u is (rows, columns), the bias (columns) in f32.
pub(super) struct BiasActivation(pub(super) Option<Activation>);

impl BiasActivation {
    /// Its number in the kernels.
    fn kind(&self) -> Argument<'static> {
        Argument::Whole(match self.0 {
            Some(Activation::Gelu) => 0,
            Some(Activation::GeluNew) => 1,
            Some(Activation::Relu) => 2,
            None => 3,
        })
    }
}

impl CustomOp2 for BiasActivation {
    fn name(&self) -> &'static str {
        "bias and activation"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("this activation is CUDA's")
    }

    fn cuda_fwd(
        &self,
        u: &CudaStorage,
        u_layout: &Layout,
        bias: &CudaStorage,
        layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (count, columns) = (u_layout.shape().elem_count(), layout.shape().elem_count());
        let y = room(&u.device, u.dtype(), count)?;
        let arguments = [
            Argument::Numbers(Numbers::of(u, u_layout)?),
            Argument::Numbers(Numbers::of(bias, layout)?),
            Argument::Numbers(Numbers::whole(&y)),
            Argument::Count(count),
            Argument::Whole(columns as u32),
            self.kind(),
        ];
        let blocks = count.div_ceil(THREADS as usize).min(BLOCKS);
        let grid = Grid { blocks: [blocks, 1, 1], threads: THREADS, shared_floats: 0 };
        launch(&u.device, &format!("activation_forward_{}", suffix(u.dtype())?), &grid, &arguments)?;
        Ok((y, u_layout.shape().clone()))
    }

    fn bwd(&self, u: &Tensor, bias: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((rows, columns), dtype, device) = (u.dims2()?, u.dtype(), u.device().as_cuda_device()?);
        let (u, bias, dy) = (u.contiguous()?, bias.contiguous()?, dy.contiguous()?);
        let strips = STRIPS.min(rows.max(1));
        let du = room(device, dtype, rows * columns)?;
        let (parts, sums) = (room(device, DType::F32, strips * columns)?, room(device, DType::F32, columns)?);
        with_numbers(&[&u, &bias, &dy], |numbers| {
            let mut arguments: Vec<_> = numbers.iter().copied().map(Argument::Numbers).collect();
            arguments.extend([&du, &parts].map(|storage| Argument::Numbers(Numbers::whole(storage))));
            arguments.extend([rows, columns].map(|count| Argument::Whole(count as u32)));
            arguments.push(self.kind());
            let blocks = [columns.div_ceil(THREADS as usize), strips, 1];
            let grid = Grid { blocks, threads: THREADS, shared_floats: 0 };
            launch(device, &format!("activation_backward_{}", suffix(dtype)?), &grid, &arguments)
        })?;
        column_sums(device, &parts, &sums, strips, columns)?;
        Ok((Some(tensor(du, u.shape())), Some(tensor(sums, bias.shape()))))
    }
}
