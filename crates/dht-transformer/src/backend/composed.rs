//! The same sublayers composed of candle's differentiable operations: what runs on Metal and, with the project's own kernels in
//! place of some, on CUDA; and the oracle of the fused ones in tests.

use candle_core::{D, DType, Device, Tensor, Var};

use crate::backend::attend::Rectangles;
use crate::backend::cpu::{AttentionParameters, Dropout, EmbeddingParameters, FeedForwardParameters, TokenIds};
#[cfg(feature = "cuda")]
use crate::backend::cuda;
use crate::config::Activation;
use crate::error::Result;
use crate::tensors::{HeadSet, Packing, Parameter, wide};

/// The variable, or only its value where it is frozen.
pub(super) fn weight(parameter: &Parameter) -> Tensor {
    let var: &Var = parameter.var();
    if parameter.is_frozen() { var.as_detached_tensor() } else { var.as_tensor().clone() }
}

/// The same in the numbers of `x`: f32 or bf16 in use, f64 where a test compares with finite differences.
fn weight_like(parameter: &Parameter, x: &Tensor) -> Result<Tensor> {
    Ok(weight(parameter).to_dtype(x.dtype())?)
}

fn indices(indices: Vec<u32>, device: &Device) -> Result<Tensor> {
    let count = indices.len();
    Ok(Tensor::from_vec(indices, count, device)?)
}

/// LayerNorm of each row, with sums in at least single precision, in the numbers of `x`.
pub(crate) fn layer_norm(x: &Tensor, scale: &Parameter, shift: &Parameter, epsilon: f64) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if cuda::norms(x) {
        return cuda::layer_norm(x, &weight(scale), &weight(shift), epsilon);
    }
    let z = wide(x)?;
    let centred = z.broadcast_sub(&z.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let unit = centred.broadcast_div(&(variance + epsilon)?.sqrt()?)?;
    let y = unit.broadcast_mul(&weight_like(scale, &z)?)?.broadcast_add(&weight_like(shift, &z)?)?;
    Ok(y.to_dtype(x.dtype())?)
}

/// x·Wᵀ + b in the numbers of `x`.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let u = product(x, weight)?;
    #[cfg(feature = "cuda")]
    if cuda::takes(&u) {
        return cuda::add_bias(&u, bias);
    }
    // The gradient of b is a sum over all rows.
    let y = wide(&u)?;
    Ok(y.broadcast_add(&bias.to_dtype(y.dtype())?)?.to_dtype(u.dtype())?)
}

/// x·Wᵀ in the numbers of `x`.
pub(super) fn product(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (x, transposed) = operands(x, weight)?;
    Ok(x.matmul(&transposed)?)
}

/// x and Wᵀ in the layouts that candle's product takes on CUDA: rows, or their transpose, one after another without gaps. The
/// first columns of a wider matrix are copied.
fn operands(x: &Tensor, weight: &Tensor) -> Result<(Tensor, Tensor)> {
    Ok((x.contiguous()?, weight.to_dtype(x.dtype())?.contiguous()?.t()?))
}

/// The rows `numbers` of a matrix.
pub(crate) fn select_rows(matrix: &Tensor, numbers: &[u32]) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if cuda::takes(matrix) {
        return cuda::select_rows(matrix, numbers);
    }
    Ok(matrix.index_select(&indices(numbers.to_vec(), matrix.device())?, 0)?)
}

/// The rows times their dropout mask, the same on every device: a kernel computes it on CUDA; elsewhere it is drawn on the CPU, and
/// copied.
pub(crate) fn drop_rows(x: &Tensor, packing: &Packing, dropout: Option<Dropout>) -> Result<Tensor> {
    let Some(dropout) = dropout else { return Ok(x.clone()) };
    #[cfg(feature = "cuda")]
    if cuda::takes(x) {
        return cuda::drop_rows(x, packing, dropout);
    }
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
    let look_up = |table: &Parameter, rows: &[u32]| select_rows(&weight(table), rows);
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
    let qkv = linear(x, &qkv, &bias)?; // (tokens, 3·heads·dim)
    let gates = gates.map(|gates| gates.as_tensor());
    let context = contexts(&qkv, packing, (&heads, parameters.head_dim), probability_dropout, gates)?;
    let norm = OutputNorm {
        bias: &parameters.output_bias,
        scale: &parameters.scale,
        shift: &parameters.shift,
        epsilon: parameters.epsilon,
    };
    norm.apply(x, &product(&context, &output)?, packing, output_dropout)
}

/// Q and K of these heads: (tokens, hidden) → (tokens, heads·dim) each.
pub(crate) fn queries_and_keys(
    x: &Tensor,
    parameters: &AttentionParameters,
    kept: HeadSet,
) -> Result<(Tensor, Tensor)> {
    let (heads, dim): (Vec<usize>, usize) = (kept.iter().collect(), parameters.head_dim);
    let compared = 2 * heads.len() * dim;
    let (mut rows, mut bias) = (weight(&parameters.qkv), weight(&parameters.qkv_bias));
    if !kept.is_full(parameters.heads) {
        let at = parameters.qkv_rows(&heads).into_iter().take(compared).map(|row| row as u32).collect();
        let at = indices(at, x.device())?;
        (rows, bias) = (rows.index_select(&at, 0)?, bias.index_select(&at, 0)?);
    }
    let both = linear(x, &rows.narrow(0, 0, compared)?, &bias.narrow(0, 0, compared)?)?;
    Ok((both.narrow(1, 0, compared / 2)?, both.narrow(1, compared / 2, compared / 2)?))
}

/// The scores before the softmax, Q·Kᵀ/√dim, of heads of one width: (tokens, heads·dim) → (samples, heads, longest, longest), of no meaning
/// in places where a sample has no token.
pub(crate) fn attention_scores(q: &Tensor, k: &Tensor, packing: &Packing, dim: usize) -> Result<Tensor> {
    let (tokens, inner) = q.dims2()?;
    let of_heads = |rows: &Tensor| rows.reshape((tokens, inner / dim, dim));
    Rectangles::new(packing, q.device())?.scores(&of_heads(q)?, &of_heads(k)?, 1.0 / (dim as f64).sqrt())
}

/// gates ∘ dropout(softmax(Q·Kᵀ/√dim))·V of these heads: (tokens, 3·heads·dim) → (tokens, heads·dim). Gates are (samples, heads).
fn contexts(
    qkv: &Tensor,
    packing: &Packing,
    (heads, dim): (&[usize], usize),
    dropout: Option<Dropout>,
    gates: Option<&Tensor>,
) -> Result<Tensor> {
    let (tokens, inner) = (qkv.dims()[0], heads.len() * dim);
    let qkv = qkv.reshape((tokens, 3, heads.len(), dim))?;
    let part = |index: usize| -> Result<Tensor> { Ok(qkv.narrow(1, index, 1)?.squeeze(1)?) }; // (tokens, heads, dim)
    let rectangles = Rectangles::new(packing, qkv.device())?;
    let scores = rectangles.scores(&part(0)?, &part(1)?, 1.0 / (dim as f64).sqrt())?;
    let context = rectangles.context(&scores, &part(2)?, dropout.map(|dropout| (dropout, heads)), gates)?;
    Ok(context.reshape((tokens, inner))?)
}

/// The end of a sublayer: the bias of its last product, and the norm.
struct OutputNorm<'a> {
    bias: &'a Parameter,
    scale: &'a Parameter,
    shift: &'a Parameter,
    epsilon: f64,
}

impl OutputNorm<'_> {
    /// LayerNorm(x + dropout(h + bias)).
    fn apply(&self, x: &Tensor, h: &Tensor, packing: &Packing, dropout: Option<Dropout>) -> Result<Tensor> {
        let h = wide(h)?;
        let h = h.broadcast_add(&weight_like(self.bias, &h)?)?;
        let z = (wide(x)? + drop_rows(&h, packing, dropout)?)?;
        Ok(layer_norm(&z, self.scale, self.shift, self.epsilon)?.to_dtype(x.dtype())?)
    }
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
    let a = bias_activation(&product(x, &up)?, &up_bias, parameters.activation)?;
    let norm = OutputNorm {
        bias: &parameters.down_bias,
        scale: &parameters.scale,
        shift: &parameters.shift,
        epsilon: parameters.epsilon,
    };
    norm.apply(x, &product(&a, &down)?, packing, dropout)
}

/// f(u + bias), element by element.
fn bias_activation(u: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
    let sum = wide(u)?;
    let sum = sum.broadcast_add(&bias.to_dtype(sum.dtype())?)?;
    Ok(activate(&sum, activation)?.to_dtype(u.dtype())?)
}

/// The activation, element by element.
pub(crate) fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    Ok(match activation {
        Activation::Gelu => x.gelu_erf()?,
        Activation::GeluNew => x.gelu()?,
        Activation::Relu => x.relu()?,
    })
}

/// x·Wᵀ + b of a pooler or classifier, in single precision.
pub(crate) fn dense(x: &Tensor, weights: &Parameter, bias: &Parameter) -> Result<Tensor> {
    dense_like(&x.to_dtype(DType::F32)?, weights, bias)
}

/// x·Wᵀ + b in the numbers of `x`.
pub(crate) fn dense_like(x: &Tensor, weights: &Parameter, bias: &Parameter) -> Result<Tensor> {
    linear(x, &weight(weights), &weight(bias))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrower_weight_comes_to_the_product_without_gaps_between_its_rows() {
        let whole = Tensor::arange(0f32, 24.0, &Device::Cpu).unwrap().reshape((4, 6)).unwrap();
        let (x, weight) = (whole.narrow(1, 1, 3).unwrap(), whole.narrow(1, 0, 3).unwrap());
        let (rows, transposed) = operands(&x, &weight).unwrap();
        // candle's rule: the last stride is 1 and the one before it the width, or the other way round.
        assert_eq!((rows.stride(), transposed.stride()), (&[3, 1][..], &[1, 3][..]));
        assert_eq!(transposed.dims(), [3, 4]);
        let found: Vec<Vec<f32>> = product(&x, &weight).unwrap().to_vec2().unwrap();
        let expected: Vec<Vec<f32>> = x.matmul(&weight.t().unwrap()).unwrap().to_vec2().unwrap();
        assert_eq!(found, expected);
    }
}
