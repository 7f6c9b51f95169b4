//! The project's own kernels for CUDA: the end of a sublayer (bias, dropout, residual, norm), bias and activation, attention of
//! packed rows, rows by number, dropout and AdamW; and the sublayers made of them. Products of matrices are candle's.
//!
//! The kernels are checked against their formulas on a CPU (`scripts/check-kernels`); `docs/gpu.md` says what was run on a card.

mod activation;
mod adamw;
mod attention;
mod graph;
mod keys;
mod launch;
mod norm;
mod rows;
mod squares;
mod sublayer;

use candle_core::{DType, Tensor};

use self::graph::in_graph;
use self::keys::BatchKeys;
use self::norm::{Norm, NormInputs};
use crate::backend::cpu::Dropout;
use crate::error::Result;
use crate::tensors::Packing;

pub(super) use self::sublayer::{attention_sublayer, feed_forward_sublayer};

/// Whether the kernels take these rows; others are composed of candle's operations on the same device.
pub(super) fn takes(rows: &Tensor) -> bool {
    let dtype = matches!(rows.dtype(), DType::F32 | DType::BF16);
    rows.device().is_cuda() && dtype && rows.rank() == 2
}

/// Whether the kernels norm these rows.
pub(super) fn norms(rows: &Tensor) -> bool {
    takes(rows) && norm::takes(rows.dims()[1])
}

/// Whether heads of this width have a kernel.
pub(super) fn attends(dim: usize) -> bool {
    dim <= attention::WIDEST
}

/// LayerNorm(x).
pub(super) fn layer_norm(x: &Tensor, scale: &Tensor, shift: &Tensor, epsilon: f64) -> Result<Tensor> {
    let x = x.contiguous()?;
    let norm = Norm { epsilon, dropout: None };
    let (h, scale_value, shift_value) = (x.detach(), scale.detach(), shift.detach());
    let inputs = NormInputs { x: None, h, bias: None, scale: scale_value, shift: shift_value };
    let y = norm.forward(&inputs)?;
    Ok(in_graph("norm", (y, x.dims2()?), &[&x, scale, shift], move |dy| {
        let [_, dh, sums] = norm.backward(&inputs, dy)?;
        Ok([Some(dh), Some(sums.get(1)?), Some(sums.get(2)?)])
    })?)
}

/// Rows times their dropout mask.
pub(super) fn drop_rows(x: &Tensor, packing: &Packing, dropout: Dropout) -> Result<Tensor> {
    let (x, keys) = (x.contiguous()?, BatchKeys::of(packing, x.device())?);
    let y = norm::drop_rows(&x.detach(), (dropout, &keys))?;
    let shape = x.dims2()?;
    Ok(in_graph("dropout", (y, shape), &[&x], move |dy| {
        let dx = norm::drop_rows(dy, (dropout, &keys))?;
        Ok([Some(launch::tensor(dx, shape)), None, None])
    })?)
}

/// u + bias, whose gradient is summed in f32.
pub(super) fn add_bias(u: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (u, bias) = (u.contiguous()?, bias.to_dtype(DType::F32)?.contiguous()?);
    let (u_value, bias_value) = (u.detach(), bias.detach());
    let y = activation::forward(&u_value, &bias_value, None)?;
    Ok(in_graph("bias", (y, u.dims2()?), &[&u, &bias], move |dy| {
        let [du, dbias] = activation::backward(&u_value, &bias_value, None, dy)?;
        Ok([Some(du), Some(dbias), None])
    })?)
}

/// The rows `numbers` of a matrix.
pub(super) fn select_rows(matrix: &Tensor, numbers: &[u32]) -> Result<Tensor> {
    Ok(rows::select_rows(matrix, numbers)?)
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

/// Gives back what a card keeps for later.
pub(crate) fn release_memory(device: &candle_core::CudaDevice) -> Result<()> {
    Ok(launch::release_memory(device)?)
}

/// Σ x² of each tensor, all in f32 on one card.
pub(crate) fn sums_of_squares(tensors: &[&Tensor]) -> Result<Vec<f64>> {
    Ok(squares::sums_of_squares(tensors)?)
}
