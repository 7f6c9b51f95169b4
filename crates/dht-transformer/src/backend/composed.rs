//! The same sublayers composed of candle's differentiable operations: what runs on CUDA and Metal, and the oracle of the
//! fused ones in tests.

use candle_core::{D, DType, Device, Tensor, Var};

use crate::backend::cpu::{AttentionParameters, Dropout, EmbeddingParameters, FeedForwardParameters, TokenIds};
use crate::config::Activation;
use crate::error::Result;
use crate::tensors::{HeadSet, Packing, Parameter};

/// The variable, or only its value where it is frozen.
fn weight(parameter: &Parameter) -> Tensor {
    let var: &Var = parameter.var();
    if parameter.is_frozen() { var.as_detached_tensor() } else { var.as_tensor().clone() }
}

fn indices(indices: Vec<u32>, device: &Device) -> Result<Tensor> {
    let count = indices.len();
    Ok(Tensor::from_vec(indices, count, device)?)
}

pub(crate) fn layer_norm(x: &Tensor, scale: &Parameter, shift: &Parameter, epsilon: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let unit = centred.broadcast_div(&(variance + epsilon)?.sqrt()?)?;
    Ok(unit.broadcast_mul(&weight(scale))?.broadcast_add(&weight(shift))?)
}

/// x·Wᵀ + b.
fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    Ok(x.matmul(&weight.t()?)?.broadcast_add(bias)?)
}

/// The rows times their dropout mask, which is drawn on the CPU: the same on every device.
fn drop_rows(x: &Tensor, packing: &Packing, dropout: Option<Dropout>) -> Result<Tensor> {
    let Some(dropout) = dropout else { return Ok(x.clone()) };
    let (rows, width) = x.dims2()?;
    let mut mask = vec![1f32; rows * width];
    let keys = packing.row_samples().iter().zip(packing.row_tokens());
    for (row, (sample, token)) in mask.chunks_exact_mut(width).zip(keys) {
        dropout.apply(*sample, *token as usize, 0, row);
    }
    Ok((x * Tensor::from_vec(mask, (rows, width), x.device())?)?)
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
    let qkv = linear(x, &qkv, &bias)?; // (tokens, 3·inner)

    // Attention wants rectangles: pad, attend under a mask, and take the real rows back out.
    let spans = packing.spans();
    let (samples, longest) = (spans.samples(), spans.lengths().max().unwrap_or(0));
    let (mut padded, mut real, mut mask) = (Vec::new(), Vec::new(), Vec::new());
    for sample in 0..samples {
        let range = spans.range(sample);
        for position in 0..longest {
            let inside = position < range.len();
            if inside {
                real.push(padded.len() as u32);
            }
            padded.push(if inside { range.start + position } else { range.start } as u32);
            mask.push(if inside { 0f32 } else { f32::NEG_INFINITY });
        }
    }
    let mask = Tensor::from_vec(mask, (samples, 1, 1, longest), device)?;
    let dim = parameters.head_dim;
    let qkv = qkv.index_select(&indices(padded, device)?, 0)?.reshape((samples, longest, 3, heads.len(), dim))?;
    let part = |index: usize| -> Result<Tensor> {
        Ok(qkv.narrow(2, index, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous()?) // (samples, heads, longest, dim)
    };
    let scores = (part(0)?.matmul(&part(1)?.t()?)? * (1.0 / (dim as f64).sqrt()))?.broadcast_add(&mask)?;
    let scores = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
    let mut probabilities = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?;
    if let Some(dropout) = probability_dropout {
        let mut keep = vec![1f32; samples * heads.len() * longest * longest];
        for (index, row) in keep.chunks_exact_mut(longest).enumerate() {
            let (sample, head, query) = (index / longest / heads.len(), index / longest % heads.len(), index % longest);
            let length = spans.range(sample).len();
            dropout.apply(packing.sample_ids()[sample], query, heads[head], &mut row[..length]);
        }
        let keep = Tensor::from_vec(keep, (samples, heads.len(), longest, longest), device)?;
        probabilities = (probabilities * keep)?;
    }
    let context = probabilities.matmul(&part(2)?)?; // (samples, heads, longest, dim)
    let context = match gates {
        Some(gates) => context.broadcast_mul(&gates.reshape((samples, heads.len(), 1, 1))?)?,
        None => context,
    };
    let context = context.transpose(1, 2)?.contiguous()?;
    let context = context.reshape((samples * longest, heads.len() * dim))?.index_select(&indices(real, device)?, 0)?;

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
