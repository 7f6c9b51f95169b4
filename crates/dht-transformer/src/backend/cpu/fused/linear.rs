//! Linear layer x·Wᵀ + b as one fused CPU operation, for poolers and classifiers.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::apply::apply;
use super::slices::rows;
use crate::backend::context::ForwardContext;
use crate::backend::cpu::kernels::{Concatenated, Destination, Matrix, Packed, add_assign, column_sums, product};
use crate::backend::cpu::packed_weights::{Direction, Extent};
use crate::backend::cpu::variants::Choice;
use crate::backend::parameters::LinearParameters;
use crate::tensors::{Gradient, Precision, released, slice, with_slices, with_weight_slices};

/// Number of rows that a thread multiplies at a time. The number is small, so that even the rows of one sentence are
/// divided between two threads.
const ROWS: usize = 24;

/// Computes x·W + bias for a packed weight W (inputs, outputs). Chunks of rows run in parallel.
fn rows_times(x: &[f32], weight: &Packed<f32>, bias: Option<&[f32]>, inputs: usize, outputs: usize) -> Vec<f32> {
    let _span = tracing::trace_span!("poolers and classifiers").entered();
    let mut y = vec![0.0; x.len() / inputs * outputs];
    y.par_chunks_mut(ROWS * outputs).zip(x.par_chunks(ROWS * inputs)).for_each(|(y, x)| {
        let x = Matrix::new(x, x.len() / inputs, inputs);
        product(y, outputs, Destination::Overwrite, 1.0, x, weight);
        bias.into_iter().for_each(|bias| y.chunks_exact_mut(outputs).for_each(|row| add_assign(row, bias)));
    });
    y
}

pub(crate) struct LinearOp {
    parameters: LinearParameters,
    ctx: ForwardContext,
}

impl LinearOp {
    /// Computes x·Wᵀ + b, (rows, inputs) → (rows, outputs).
    pub(crate) fn run(x: &Tensor, parameters: &LinearParameters, ctx: &ForwardContext) -> crate::error::Result<Tensor> {
        let op = Self { parameters: parameters.clone(), ctx: ctx.clone() };
        apply(x, op, parameters.trains(), ctx)
    }
}

impl CustomOp2 for LinearOp {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_layout: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let p = &self.parameters;
        let x = slice(x, x_layout)?;
        let y = with_weight_slices(&[p.weight.var(), p.bias.var()], |slices| {
            let matrix = || match slices[0].is_empty() {
                true => Err(released()),
                false => Ok(Matrix::new(slices[0], p.outputs, p.inputs).transposed()),
            };
            let weight = match self.ctx.is_training() {
                true => Arc::new(Packed::new(matrix()?)),
                false => {
                    let extent = Extent { choice: Choice::Neurons(p.outputs), whole: true, by_head: false };
                    let parts = || Ok((vec![vec![matrix()?]], Concatenated::Columns));
                    self.ctx.packed_weights().packed(&p.weight, Direction::Forward, (extent, Precision::F32), parts)?
                }
            };
            Ok(rows_times(x, &weight, Some(slices[1]), p.inputs, p.outputs))
        })?;
        Ok(rows(y, p.outputs))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let p = &self.parameters;
        if p.trains() {
            self.ctx.check_in_backward(self.name())?;
        }
        let dy = dy.contiguous()?;
        let dx = with_slices(&[x, &dy, p.weight.var()], |slices| {
            let (x_rows, dy) = (slices[0], slices[1]);
            if p.trains() {
                let rows = x_rows.len() / p.inputs;
                let right = Packed::new(Matrix::new(x_rows, rows, p.inputs));
                let mut weight = vec![0.0; p.outputs * p.inputs];
                weight.par_chunks_mut(ROWS * p.inputs).enumerate().for_each(|(chunk, weight)| {
                    let height = weight.len() / p.inputs;
                    let left = Matrix::strided(&dy[chunk * ROWS..], rows, height, p.outputs).transposed();
                    product(weight, p.inputs, Destination::Overwrite, 1.0, left, &right);
                });
                self.ctx.accumulate(p.weight.id(), Gradient::Dense(weight));
                self.ctx.accumulate(p.bias.id(), Gradient::Dense(column_sums(dy, p.outputs)));
            }
            Ok(x.track_op().then(|| {
                let weight = Packed::new(Matrix::new(slices[2], p.outputs, p.inputs));
                rows_times(dy, &weight, None, p.outputs, p.inputs)
            }))
        })?;
        Ok((dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?, None))
    }
}
