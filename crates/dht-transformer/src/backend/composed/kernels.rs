//! Interface to a device's custom kernels. A kernel replaces several of candle's operations.

use std::sync::Arc;

use candle_core::Tensor;

use crate::backend::context::ForwardContext;
use crate::backend::cpu::Dropout;
use crate::backend::parameters::{AttentionParameters, FeedForwardParameters};
use crate::error::Result;
use crate::tensors::{HeadSet, Packing};

/// Differentiable custom kernels of a device. A method returns `None` if there is no kernel for its arguments; the
/// caller then uses candle's operations.
pub(crate) trait Kernels: Sync {
    fn layer_norm(&self, _x: &Tensor, _scale: &Tensor, _shift: &Tensor, _epsilon: f64) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Computes u + bias. The gradient of the bias is summed in at least single precision.
    fn add_bias(&self, _u: &Tensor, _bias: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Selects the rows of a matrix whose indices are in `numbers`.
    fn select_rows(&self, _matrix: &Tensor, _numbers: &[u32]) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Applies dropout to the rows `_x`. The dropout mask of a row depends on the row's sample and token.
    fn drop_rows(&self, _x: &Tensor, _packing: &Packing, _dropout: Dropout) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Computes the attention sublayer LayerNorm(x + dropout(attention(x)·Wᵀ + b)) for some of its heads. W and b
    /// belong to the output projection. Dropout is applied to the attention probabilities and to the output.
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

    /// Computes the feed-forward sublayer LayerNorm(x + dropout(f(x·Uᵀ + b)·Dᵀ + c)) for its first `width` neurons. f
    /// is the activation; U and b belong to the up projection, D and c to the down projection.
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

/// Implementation of [`Kernels`] for a device without custom kernels: candle's operations compute everything.
pub(crate) struct NoKernels;

impl Kernels for NoKernels {}
