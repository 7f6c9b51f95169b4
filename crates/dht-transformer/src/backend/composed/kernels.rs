//! Custom kernels of a device that replace compositions of candle's operations.

use std::sync::Arc;

use candle_core::Tensor;

use crate::backend::context::ForwardContext;
use crate::backend::cpu::Dropout;
use crate::backend::parameters::{AttentionParameters, FeedForwardParameters};
use crate::error::Result;
use crate::tensors::{HeadSet, Packing};

/// Differentiable kernels of a device. If a method returns `None`, there is no kernel for these rows, and candle's
/// operations run.
pub(crate) trait Kernels: Sync {
    /// LayerNorm of each row.
    fn layer_norm(&self, _x: &Tensor, _scale: &Tensor, _shift: &Tensor, _epsilon: f64) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Computes u + bias, whose gradient is summed in at least single precision.
    fn add_bias(&self, _u: &Tensor, _bias: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Selects the rows `numbers` of a matrix.
    fn select_rows(&self, _matrix: &Tensor, _numbers: &[u32]) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Multiplies rows by their dropout mask.
    fn drop_rows(&self, _x: &Tensor, _packing: &Packing, _dropout: Dropout) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// LayerNorm(x + dropout(attention(x)·Wᵀ + b)) of these heads of a layer, with dropout of the attention
    /// probabilities and of the output.
    fn attention(
        &self,
        (_layer, _x, _packing): (usize, &Tensor, &Arc<Packing>),
        _parameters: &AttentionParameters,
        _heads: HeadSet,
        _dropouts: (Option<Dropout>, Option<Dropout>),
        _ctx: &ForwardContext,
    ) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// LayerNorm(x + dropout(f(x·Uᵀ + b)·Dᵀ + c)) with the first `width` neurons.
    fn feed_forward(
        &self,
        (_x, _packing): (&Tensor, &Packing),
        _parameters: &FeedForwardParameters,
        _width: usize,
        _dropout: Option<Dropout>,
        _ctx: &ForwardContext,
    ) -> Result<Option<Tensor>> {
        Ok(None)
    }
}

/// Empty set of kernels: only candle's operations run.
pub(crate) struct NoKernels;

impl Kernels for NoKernels {}
