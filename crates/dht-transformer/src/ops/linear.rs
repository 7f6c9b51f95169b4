//! x·Wᵀ + b as an operation: poolers and classifiers.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::slices::{rows, slice, with_slices};
use crate::Pass;
use crate::kernels::blocks::{add_input_gradient, linear, weight_gradient};
use crate::kernels::product::Matrix;
use crate::kernels::rows::column_sums;
use crate::parameters::{Gradient, Parameter};

/// Weight (outputs, inputs) and bias (outputs).
#[derive(Debug, Clone)]
pub(crate) struct LinearParameters {
    pub(crate) weight: Parameter,
    pub(crate) bias: Parameter,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl LinearParameters {
    /// Whether any of them is trained.
    pub(super) fn trains(&self) -> bool {
        !(self.weight.is_frozen() && self.bias.is_frozen())
    }
}

/// x·Wᵀ + b.
pub(crate) struct LinearOp {
    parameters: LinearParameters,
    pass: Pass,
}

impl LinearOp {
    /// (rows, inputs) → (rows, outputs).
    pub(crate) fn run(x: &Tensor, parameters: &LinearParameters, pass: &Pass) -> crate::Result<Tensor> {
        let op = Self { parameters: parameters.clone(), pass: pass.clone() };
        super::apply(x, &parameters.bias, op, parameters.trains(), pass)
    }
}

impl CustomOp2 for LinearOp {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_layout: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let p = &self.parameters;
        let x = slice(x, x_layout)?;
        let y = with_slices(&[p.weight.var(), p.bias.var()], |slices| {
            Ok(linear(x, slices[0], Some(slices[1]), p.inputs, p.outputs))
        })?;
        Ok(rows(y, p.outputs))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let p = &self.parameters;
        let dy = dy.contiguous()?;
        let dx = with_slices(&[x, &dy, p.weight.var()], |slices| {
            let (x_rows, dy) = (slices[0], slices[1]);
            if p.trains() {
                self.pass.accumulate(p.weight.id(), Gradient::Dense(weight_gradient(dy, x_rows, p.outputs, p.inputs)));
                self.pass.accumulate(p.bias.id(), Gradient::Dense(column_sums(dy, p.outputs)));
            }
            Ok(x.track_op().then(|| {
                let mut dx = vec![0.0; x_rows.len()];
                add_input_gradient(&mut dx, dy, Matrix::new(slices[2], p.outputs, p.inputs), p.inputs, p.outputs);
                dx
            }))
        })?;
        Ok((dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?, None))
    }
}
