//! The same sublayers composed of candle's differentiable operations: what runs on CUDA and Metal, and the oracle of the
//! fused ones in tests.

use candle_core::{D, DType, Device, Tensor, Var};

use crate::backend::attend::Rectangles;
use crate::backend::cpu::{AttentionParameters, Dropout, EmbeddingParameters, FeedForwardParameters, TokenIds};
use crate::config::Activation;
use crate::error::Result;
use crate::tensors::{HeadSet, Packing, Parameter};

/// The variable, or only its value where it is frozen.
fn weight(parameter: &Parameter) -> Tensor {
    let var: &Var = parameter.var();
    if parameter.is_frozen() { var.as_detached_tensor() } else { var.as_tensor().clone() }
}

/// The same in the numbers of `x`: f32 in use, f64 where a test compares with finite differences.
pub(super) fn weight_like(parameter: &Parameter, x: &Tensor) -> Result<Tensor> {
    Ok(weight(parameter).to_dtype(x.dtype())?)
}

fn indices(indices: Vec<u32>, device: &Device) -> Result<Tensor> {
    let count = indices.len();
    Ok(Tensor::from_vec(indices, count, device)?)
}

pub(crate) fn layer_norm(x: &Tensor, scale: &Parameter, shift: &Parameter, epsilon: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let unit = centred.broadcast_div(&(variance + epsilon)?.sqrt()?)?;
    Ok(unit.broadcast_mul(&weight_like(scale, x)?)?.broadcast_add(&weight_like(shift, x)?)?)
}

/// x·Wᵀ + b.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    Ok(x.matmul(&weight.t()?)?.broadcast_add(bias)?)
}

/// The rows times their dropout mask, which is drawn on the CPU: the same on every device.
pub(crate) fn drop_rows(x: &Tensor, packing: &Packing, dropout: Option<Dropout>) -> Result<Tensor> {
    let Some(dropout) = dropout else { return Ok(x.clone()) };
    let (rows, width) = x.dims2()?;
    let mut mask = vec![1f32; rows * width];
    let keys = packing.row_samples().iter().zip(packing.row_tokens());
    for (row, (sample, token)) in mask.chunks_exact_mut(width).zip(keys) {
        dropout.apply(*sample, *token as usize, 0, row);
    }
    Ok((x * Tensor::from_vec(mask, (rows, width), x.device())?.to_dtype(x.dtype())?)?)
}

pub(crate) fn embedding(
    ids: &TokenIds,
    packing: &Packing,
    parameters: &EmbeddingParameters,
    dropout: Option<Dropout>,
) -> Result<Tensor> {
    let device = parameters.word.var().device();
    let look_up = |table: &Parameter, rows: &[u32]| -> Result<Tensor> {
        Ok(weight(table).index_select(&indices(rows.to_vec(), device)?, 0)?)
    };
    let sum = (look_up(&parameters.word, &ids.words)? + look_up(&parameters.position, &ids.positions)?)?;
    let sum = match &parameters.token_type {
        Some(token_type) => (sum + look_up(token_type, &ids.token_types)?)?,
        None => sum,
    };
    drop_rows(&layer_norm(&sum, &parameters.scale, &parameters.shift, parameters.epsilon)?, packing, dropout)
}

pub(crate) fn attention_sublayer(
    x: &Tensor,
    packing: &Packing,
    parameters: &AttentionParameters,
    kept: HeadSet,
    (probability_dropout, output_dropout): (Option<Dropout>, Option<Dropout>),
    gates: Option<&Var>,
) -> Result<Tensor> {
    let device = x.device();
    let heads: Vec<usize> = kept.iter().collect();
    let (mut qkv, mut bias, mut output) =
        (weight(&parameters.qkv), weight(&parameters.qkv_bias), weight(&parameters.output));
    if !kept.is_full(parameters.heads) {
        let as_u32 = |v: Vec<usize>| v.into_iter().map(|i| i as u32).collect();
        let rows = indices(as_u32(parameters.qkv_rows(&heads)), device)?;
        qkv = qkv.index_select(&rows, 0)?;
        bias = bias.index_select(&rows, 0)?;
        output = output.index_select(&indices(as_u32(parameters.columns(&heads)), device)?, 1)?;
    }
    let dim = parameters.head_dim;
    let qkv = linear(x, &qkv, &bias)?.reshape((x.dims()[0], 3, heads.len(), dim))?;
    let part = |index: usize| -> Result<Tensor> { Ok(qkv.narrow(1, index, 1)?.squeeze(1)?) }; // (tokens, heads, dim)
    let rectangles = Rectangles::new(packing, device)?;
    let scores = rectangles.scores(&part(0)?, &part(1)?, 1.0 / (dim as f64).sqrt())?;
    let dropout = probability_dropout.map(|dropout| (dropout, &heads[..]));
    let context = rectangles.context(&scores, &part(2)?, dropout, gates.map(|gates| gates.as_tensor()))?;
    let context = context.reshape((x.dims()[0], heads.len() * dim))?;

    let h = linear(&context, &output, &weight(&parameters.output_bias))?;
    let z = (x + drop_rows(&h, packing, output_dropout)?)?;
    layer_norm(&z, &parameters.scale, &parameters.shift, parameters.epsilon)
}

pub(crate) fn feed_forward_sublayer(
    x: &Tensor,
    packing: &Packing,
    parameters: &FeedForwardParameters,
    width: usize,
    dropout: Option<Dropout>,
) -> Result<Tensor> {
    let up = weight(&parameters.up).narrow(0, 0, width)?;
    let up_bias = weight(&parameters.up_bias).narrow(0, 0, width)?;
    let down = weight(&parameters.down).narrow(1, 0, width)?;
    let a = activate(&linear(x, &up, &up_bias)?, parameters.activation)?;
    let h = linear(&a, &down, &weight(&parameters.down_bias))?;
    let z = (x + drop_rows(&h, packing, dropout)?)?;
    layer_norm(&z, &parameters.scale, &parameters.shift, parameters.epsilon)
}

/// The activation, element by element.
pub(crate) fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    Ok(match activation {
        Activation::Gelu => x.gelu_erf()?,
        Activation::GeluNew => x.gelu()?,
        Activation::Relu => x.relu()?,
    })
}

/// x·Wᵀ + b of a pooler or classifier.
pub(crate) fn dense(x: &Tensor, weights: &Parameter, bias: &Parameter) -> Result<Tensor> {
    linear(&x.to_dtype(DType::F32)?, &weight(weights), &weight(bias))
}
