//! The two sublayers of a layer where they are no part of a fused run: by the device's own kernels, else composed of candle's
//! operations.

use std::sync::Arc;

use candle_core::Tensor;

use super::composed;
#[cfg(feature = "cuda")]
use super::cuda;
use crate::backend::ForwardContext;
use crate::backend::cpu::{AttentionParameters, Dropout, FeedForwardParameters};
use crate::error::Result;
use crate::tensors::{HeadSet, Packing};

/// LayerNorm(x + dropout(attention(x)·Wᵀ + b)) with the heads that are kept; dropout of probabilities, and of the output.
pub(crate) fn attention_sublayer(
    (layer, x, packing): (usize, &Tensor, &Arc<Packing>),
    parameters: &AttentionParameters,
    kept: HeadSet,
    dropouts: (Option<Dropout>, Option<Dropout>),
    ctx: &ForwardContext,
) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if !ctx.in_graph() && cuda::norms(x) && cuda::attends(parameters.head_dim) {
        return Ok(cuda::attention_sublayer((layer, x, packing), parameters, kept, dropouts, ctx)?);
    }
    let gates = ctx.gates(layer, packing, kept, x.device())?;
    composed::attention_sublayer(x, packing, parameters, kept, dropouts, gates.as_ref())
}

/// LayerNorm(x + dropout(f(x·Uᵀ + b)·Dᵀ + c)) with the first `width` neurons.
pub(crate) fn feed_forward_sublayer(
    (x, packing): (&Tensor, &Arc<Packing>),
    parameters: &FeedForwardParameters,
    width: usize,
    dropout: Option<Dropout>,
    ctx: &ForwardContext,
) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if !ctx.in_graph() && cuda::norms(x) {
        return Ok(cuda::feed_forward_sublayer((x, packing), parameters, width, dropout, ctx)?);
    }
    #[cfg(not(feature = "cuda"))]
    let _ = ctx;
    composed::feed_forward_sublayer(x, packing, parameters, width, dropout)
}
