//! The project's own kernels for CUDA: the end of a sublayer (bias, dropout, residual, norm), bias and activation, attention of
//! packed rows, dropout and AdamW. Their gradients go through candle's graph. What they do not cover, products of matrices above
//! all, is candle's.
//!
//! The kernels are checked against their formulas on a CPU (`scripts/check-kernels`); `docs/gpu.md` says what was run on a card.

mod activation;
mod adamw;
mod attention;
mod keys;
mod launch;
mod norm;

use candle_core::{DType, Tensor};

use self::keys::RowDropout;
use crate::backend::cpu::Dropout;
use crate::config::Activation;
use crate::error::Result;
use crate::tensors::Packing;

/// Whether the kernels take these rows; others are composed of candle's operations on the same device.
pub(super) fn takes(rows: &Tensor) -> bool {
    let dtype = matches!(rows.dtype(), DType::F32 | DType::BF16 | DType::F16);
    rows.device().is_cuda() && dtype && rows.rank() == 2
}

/// Whether the kernels norm these rows.
pub(super) fn norms(rows: &Tensor) -> bool {
    takes(rows) && rows.dims()[1] <= norm::WIDEST
}

/// LayerNorm(x + dropout(h + bias)): `weights` are bias, γ and β.
pub(super) fn residual_norm(
    x: &Tensor,
    h: &Tensor,
    weights: [&Tensor; 3],
    epsilon: f64,
    (packing, dropout): (&Packing, Option<Dropout>),
) -> Result<Tensor> {
    let norm = norm::Norm { epsilon, dropout: RowDropout::new(dropout, packing) };
    Ok(x.contiguous()?.apply_op3(&h.contiguous()?, &stacked(weights)?, norm)?)
}

/// LayerNorm(x).
pub(super) fn layer_norm(x: &Tensor, scale: &Tensor, shift: &Tensor, epsilon: f64) -> Result<Tensor> {
    let norm = norm::Norm { epsilon, dropout: RowDropout::none() };
    let no_bias = shift.zeros_like()?;
    Ok(x.contiguous()?.apply_op2(&stacked([&no_bias, scale, shift])?, norm)?)
}

/// Rows times their dropout mask.
pub(super) fn drop_rows(x: &Tensor, packing: &Packing, dropout: Dropout) -> Result<Tensor> {
    Ok(x.contiguous()?.apply_op1(norm::DropRows(RowDropout::new(Some(dropout), packing)))?)
}

/// f(u + bias).
pub(super) fn bias_activation(u: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
    let bias = bias.to_dtype(DType::F32)?.contiguous()?;
    Ok(u.contiguous()?.apply_op2(&bias, activation::BiasActivation(Some(activation)))?)
}

/// u + bias, whose gradient is summed in f32.
pub(super) fn add_bias(u: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let bias = bias.to_dtype(DType::F32)?.contiguous()?;
    Ok(u.contiguous()?.apply_op2(&bias, activation::BiasActivation(None))?)
}

/// Whether heads of this width have a kernel.
pub(super) fn attends(dim: usize) -> bool {
    dim <= attention::WIDEST
}

/// The contexts (tokens, heads·dim) of qkv (tokens, 3·heads·dim); `heads` are the numbers of those that are kept.
pub(super) fn attention(
    qkv: &Tensor,
    packing: &Packing,
    heads: &[usize],
    dim: usize,
    dropout: Option<Dropout>,
) -> Result<Tensor> {
    Ok(qkv.contiguous()?.apply_op1(attention::Attention::new(packing, heads, dim, dropout))?)
}

/// One step of a parameter on a card, in place, and its next moments; see [`adamw::step`] for the constants.
pub(crate) fn adamw_step(
    parameter: &Tensor,
    [first, second]: [&Tensor; 2],
    gradient: &Tensor,
    constants: [f32; 8],
) -> Result<[Tensor; 2]> {
    Ok(adamw::step([parameter, first, second, &gradient.contiguous()?], constants)?)
}

/// (3, columns) in f32.
fn stacked(weights: [&Tensor; 3]) -> Result<Tensor> {
    Ok(Tensor::stack(&weights, 0)?.to_dtype(DType::F32)?)
}
