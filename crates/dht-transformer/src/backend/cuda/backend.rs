//! CUDA backend: candle's operations, some of them replaced by custom kernels.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::adamw::CudaMoments;
use super::graph::in_graph;
use super::keys::BatchKeys;
use super::norm::{Norm, NormInputs};
use super::{activation, attention, launch, norm, rows, squares, sublayer};
use crate::backend::adamw::Moments;
use crate::backend::backend::Backend;
use crate::backend::composed::{Kernels, Operations};
use crate::backend::context::ForwardContext;
use crate::backend::cpu::Dropout;
use crate::backend::parameters::{AttentionParameters, FeedForwardParameters};
use crate::error::Result;
use crate::tensors::{HeadSet, Packing, Precision};

pub(crate) struct Cuda {
    /// `true` if each sublayer is one fused operation; `false` if all gradients must be in candle's graph.
    pub(crate) sublayers: bool,
}

impl Backend for Cuda {
    fn precisions(&self) -> (&'static [Precision], &'static str) {
        (&[Precision::F32, Precision::Tf32, Precision::Bf16], "f32, tf32 or bf16 on CUDA")
    }

    fn operations(&self) -> Operations {
        Operations::with(if self.sublayers { &Self { sublayers: true } } else { &Self { sublayers: false } })
    }

    fn begin(&self, rows: Tensor, precision: Precision) -> Result<Tensor> {
        self.check(precision)?;
        candle_core::cuda::set_gemm_reduced_precision_f32(precision == Precision::Tf32);
        Ok(if precision == Precision::Bf16 { rows.to_dtype(DType::BF16)? } else { rows })
    }

    fn moments(&self, values: Option<[Vec<f32>; 2]>, shape: &[usize], device: &Device) -> Result<Box<dyn Moments>> {
        Ok(Box::new(CudaMoments::new(values, shape, device)?))
    }

    fn sums_of_squares(&self, tensors: &[Tensor]) -> Result<Vec<f64>> {
        Ok(squares::sums_of_squares(tensors)?)
    }

    fn release_memory(&self, device: &Device) -> Result<()> {
        Ok(launch::release_memory(device.as_cuda_device()?)?)
    }
}

/// Returns whether the custom kernels support the data type and number of axes of `rows`.
fn takes(rows: &Tensor) -> bool {
    matches!(rows.dtype(), DType::F32 | DType::BF16) && rows.rank() == 2
}

/// Returns whether the layer-norm kernels support the data type, number of axes and width of `rows`.
fn norms(rows: &Tensor) -> bool {
    takes(rows) && norm::takes(rows.dims()[1])
}

impl Kernels for Cuda {
    fn layer_norm(&self, x: &Tensor, scale: &Tensor, shift: &Tensor, epsilon: f64) -> Result<Option<Tensor>> {
        if !norms(x) {
            return Ok(None);
        }
        let x = x.contiguous()?;
        let norm = Norm { epsilon, dropout: None };
        let (h, scale_value, shift_value) = (x.detach(), scale.detach(), shift.detach());
        let inputs = NormInputs { x: None, h, bias: None, scale: scale_value, shift: shift_value };
        let y = norm.forward(&inputs)?;
        Ok(Some(in_graph("norm", (y, x.dims2()?), &[&x, scale, shift], move |dy| {
            let [_, dh, sums] = norm.backward(&inputs, dy)?;
            Ok([Some(dh), Some(sums.get(1)?), Some(sums.get(2)?)])
        })?))
    }

    fn add_bias(&self, u: &Tensor, bias: &Tensor) -> Result<Option<Tensor>> {
        if !takes(u) {
            return Ok(None);
        }
        let (u, bias) = (u.contiguous()?, bias.to_dtype(DType::F32)?.contiguous()?);
        let (u_value, bias_value) = (u.detach(), bias.detach());
        let y = activation::forward(&u_value, &bias_value, None)?;
        Ok(Some(in_graph("bias", (y, u.dims2()?), &[&u, &bias], move |dy| {
            let [du, dbias] = activation::backward(&u_value, &bias_value, None, dy)?;
            Ok([Some(du), Some(dbias), None])
        })?))
    }

    fn select_rows(&self, matrix: &Tensor, numbers: &[u32]) -> Result<Option<Tensor>> {
        Ok(if takes(matrix) { Some(rows::select_rows(matrix, numbers)?) } else { None })
    }

    fn drop_rows(&self, x: &Tensor, packing: &Packing, dropout: Dropout) -> Result<Option<Tensor>> {
        if !takes(x) {
            return Ok(None);
        }
        let (x, keys) = (x.contiguous()?, BatchKeys::of(packing, x.device())?);
        let y = norm::drop_rows(&x.detach(), (dropout, &keys))?;
        let shape = x.dims2()?;
        Ok(Some(in_graph("dropout", (y, shape), &[&x], move |dy| {
            let dx = norm::drop_rows(dy, (dropout, &keys))?;
            Ok([Some(launch::tensor(dx, shape)), None, None])
        })?))
    }

    fn attention(
        &self,
        (layer, x, packing): (usize, &Tensor, &Arc<Packing>),
        parameters: &AttentionParameters,
        heads: HeadSet,
        dropouts: (Option<Dropout>, Option<Dropout>),
        ctx: &ForwardContext,
    ) -> Result<Option<Tensor>> {
        let has_kernel = parameters.bias.is_none() && parameters.head_dim <= attention::WIDEST;
        if !(self.sublayers && norms(x) && has_kernel) {
            return Ok(None);
        }
        Ok(Some(sublayer::attention((layer, x, packing), parameters, heads, dropouts, ctx)?))
    }

    fn feed_forward(
        &self,
        (x, packing): (&Tensor, &Packing),
        parameters: &FeedForwardParameters,
        width: usize,
        dropout: Option<Dropout>,
        ctx: &ForwardContext,
    ) -> Result<Option<Tensor>> {
        if !(self.sublayers && norms(x)) {
            return Ok(None);
        }
        Ok(Some(sublayer::feed_forward((x, packing), parameters, width, dropout, ctx)?))
    }
}
