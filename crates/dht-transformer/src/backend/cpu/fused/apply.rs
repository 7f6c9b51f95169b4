//! Insertion of fused CPU operations into candle's graph.

use candle_core::{CustomOp2, DType, Tensor, Var};

use crate::backend::context::ForwardContext;
use crate::error::Result;

/// Applies a fused operation to hidden rows. Only in training does the result get a backward pass in candle's graph.
pub(super) fn apply<Op: CustomOp2 + Send + Sync + 'static>(
    rows: &Tensor,
    op: Op,
    trains: bool,
    ctx: &ForwardContext,
) -> Result<Tensor> {
    let rows = rows.contiguous()?;
    // The anchor is not a parameter. candle holds the lock of an argument while the operation runs, and the operation
    // locks the parameters to read them. A parameter would be locked twice, which deadlocks if another thread trains
    // the same weights in between.
    let anchor = Var::zeros(1, DType::F32, rows.device())?;
    let anchor = if trains { anchor.into_inner() } else { anchor.as_detached_tensor() };
    Ok(if ctx.is_training() { rows.apply_op2(&anchor, op)? } else { rows.apply_op2_no_bwd(&anchor, &op)? })
}
