//! The fused operations of the encoder as candle custom ops: the CPU side.
//!
//! Each takes the hidden rows and an *anchor*: a variable of no meaning that makes candle call its backward even
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

use candle_core::{CustomOp2, DType, Tensor, Var};

use crate::backend::context::ForwardContext;
use crate::error::Result;

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
    op: Op,
    trains: bool,
    ctx: &ForwardContext,
) -> Result<Tensor> {
    let rows = rows.contiguous()?;
    // No parameter: candle holds the lock of an argument while the operation runs, which reads the parameters. It would lock one of them
    // a second time, and a thread that trains the same weights, waiting in between, would stop both for good.
    let anchor = Var::zeros(1, DType::F32, rows.device())?;
    let anchor = if trains { anchor.into_inner() } else { anchor.as_detached_tensor() };
    Ok(if ctx.is_training() { rows.apply_op2(&anchor, op)? } else { rows.apply_op2_no_bwd(&anchor, &op)? })
}
