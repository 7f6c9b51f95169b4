//! The fused operations of the encoder as candle custom ops: the CPU side.
//!
//! Each takes the hidden rows and an *anchor*: a variable of the operation that makes candle call its backward even
//! where the rows themselves have no gradient. The gradients of weights go to the [`ForwardContext`](crate::ForwardContext), not through
//! candle's graph.

mod embedding;
mod head_scores;
mod layers;
mod linear;
mod parameters;
mod ragged;
mod selected;
mod slices;
mod sublayer;
mod vocabulary_loss;
mod weight_slices;

use candle_core::{CustomOp2, Tensor};

use crate::backend::context::ForwardContext;
use crate::error::Result;
use crate::tensors::Parameter;

pub(crate) use embedding::{EmbeddingOp, EmbeddingParameters, TokenIds};
pub(crate) use head_scores::HeadScoresOp;
pub(crate) use layers::LayersOp;
pub(crate) use linear::{LinearOp, LinearParameters};
pub(crate) use parameters::{AttentionParameters, FeedForwardParameters, RaggedHead, RaggedParameters};
pub(crate) use ragged::RaggedSublayer;
pub(crate) use selected::SelectedSublayer;
pub(crate) use sublayer::Sublayer;
pub(crate) use vocabulary_loss::VocabularyLossOp;

/// Applies an operation to rows: with backward in training, without otherwise.
fn apply<Op: CustomOp2 + Send + Sync + 'static>(
    rows: &Tensor,
    anchor: &Parameter,
    op: Op,
    trains: bool,
    ctx: &ForwardContext,
) -> Result<Tensor> {
    let rows = rows.contiguous()?;
    let anchor = if trains { anchor.var().as_tensor().clone() } else { anchor.var().as_detached_tensor() };
    Ok(if ctx.is_training() { rows.apply_op2(&anchor, op)? } else { rows.apply_op2_no_bwd(&anchor, &op)? })
}
