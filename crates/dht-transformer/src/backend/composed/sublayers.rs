//! Embedding, attention sublayer and feed-forward sublayer, composed of differentiable operations.

use std::sync::Arc;

use candle_core::{Tensor, Var};

use super::operations::{Operations, indices, product, weight};
use super::rectangles::Rectangles;
use crate::backend::context::ForwardContext;
use crate::backend::cpu::Dropout;
use crate::backend::parameters::{AttentionParameters, EmbeddingParameters, FeedForwardParameters, TokenIds};
use crate::backend::relative_bias::RelativeBias;
use crate::config::Activation;
use crate::error::Result;
use crate::tensors::{HeadSet, Packing, Parameter, wide};

impl Operations {
    /// Computes the embeddings dropout(LayerNorm(word + position + type)) of the tokens of a batch, shape (tokens,
    /// hidden).
    pub(crate) fn embed(
        self,
        ids: &TokenIds,
        packing: &Packing,
        parameters: &EmbeddingParameters,
        dropout: Option<Dropout>,
    ) -> Result<Tensor> {
        let look_up = |table: &Parameter, rows: &[u32]| self.select_rows(&weight(table), rows);
        let sum = (look_up(&parameters.word, &ids.words)? + look_up(&parameters.position, &ids.positions)?)?;
        let sum = match &parameters.token_type {
            Some(token_type) => (sum + look_up(token_type, &ids.token_types)?)?,
            None => sum,
        };
        let y = self.layer_norm(&sum, &parameters.scale, &parameters.shift, parameters.epsilon)?;
        self.drop_rows(&y, packing, dropout)
    }

    /// Computes the attention sublayer LayerNorm(x + dropout(attention(x)·Wᵀ + b)) for the selected heads. W and b
    /// belong to the output projection. Dropout is applied to the attention probabilities and to the output.
    pub(crate) fn attention(
        self,
        (layer, x, packing): (usize, &Tensor, &Arc<Packing>),
        parameters: &AttentionParameters,
        selected: HeadSet,
        (probability_dropout, output_dropout): (Option<Dropout>, Option<Dropout>),
        ctx: &ForwardContext,
    ) -> Result<Tensor> {
        let dropouts = (probability_dropout, output_dropout);
        if let Some(y) = self.kernels.attention((layer, x, packing), parameters, selected, dropouts, ctx)? {
            return Ok(y);
        }
        let (device, gates) = (x.device(), ctx.gates(layer, packing, selected, x.device())?);
        let heads: Vec<usize> = selected.iter().collect();
        let (mut qkv, mut bias, mut output) =
            (weight(&parameters.qkv), weight(&parameters.qkv_bias), weight(&parameters.output));
        if !selected.is_full(parameters.heads) {
            let as_u32 = |v: Vec<usize>| v.into_iter().map(|i| i as u32).collect();
            let rows = indices(as_u32(parameters.qkv_rows(&heads)), device)?;
            qkv = qkv.index_select(&rows, 0)?;
            bias = bias.index_select(&rows, 0)?;
            output = output.index_select(&indices(as_u32(parameters.columns(&heads)), device)?, 1)?;
        }
        let qkv = self.product_and_bias(x, &qkv, &bias)?; // (tokens, 3·heads·dim)
        let gates = gates.as_ref().map(Var::as_tensor);
        let shape = (&heads[..], parameters.head_dim, parameters.bias.as_ref());
        let context = contexts(&qkv, packing, shape, probability_dropout, gates)?;
        let norm = OutputNorm {
            bias: &parameters.output_bias,
            scale: &parameters.scale,
            shift: &parameters.shift,
            epsilon: parameters.epsilon,
        };
        self.output_norm(norm, x, &product(&context, &output)?, packing, output_dropout)
    }

    /// Computes the feed-forward sublayer LayerNorm(x + dropout(f(x·Uᵀ + b)·Dᵀ + c)) for its first `width` neurons. f
    /// is the activation; U and b belong to the up projection, D and c to the down projection.
    pub(crate) fn feed_forward(
        self,
        (x, packing): (&Tensor, &Packing),
        parameters: &FeedForwardParameters,
        width: usize,
        dropout: Option<Dropout>,
        ctx: &ForwardContext,
    ) -> Result<Tensor> {
        if let Some(y) = self.kernels.feed_forward((x, packing), parameters, width, dropout, ctx)? {
            return Ok(y);
        }
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
        self.output_norm(norm, x, &product(&a, &down)?, packing, dropout)
    }

    /// Computes LayerNorm(x + dropout(h + bias)), the last step of a sublayer. x is the residual and h the sublayer's
    /// last matrix product.
    fn output_norm(
        self,
        norm: OutputNorm<'_>,
        x: &Tensor,
        h: &Tensor,
        packing: &Packing,
        dropout: Option<Dropout>,
    ) -> Result<Tensor> {
        let h = wide(h)?;
        let h = h.broadcast_add(&weight(norm.bias).to_dtype(h.dtype())?)?;
        let z = (wide(x)? + self.drop_rows(&h, packing, dropout)?)?;
        Ok(self.layer_norm(&z, norm.scale, norm.shift, norm.epsilon)?.to_dtype(x.dtype())?)
    }
}

/// Parameters of the last step of a sublayer: the bias of the last matrix product, and the layer norm.
struct OutputNorm<'a> {
    bias: &'a Parameter,
    scale: &'a Parameter,
    shift: &'a Parameter,
    epsilon: f64,
}

/// Computes the attention outputs gates ∘ dropout(softmax(Q·Kᵀ/√dim + bias))·V, (tokens, 3·heads·dim) → (tokens,
/// heads·dim). Each gate multiplies the output of one head for one sample, shape (samples, heads).
fn contexts(
    qkv: &Tensor,
    packing: &Packing,
    (heads, dim, bias): (&[usize], usize, Option<&RelativeBias>),
    dropout: Option<Dropout>,
    gates: Option<&Tensor>,
) -> Result<Tensor> {
    let (tokens, inner) = (qkv.dims()[0], heads.len() * dim);
    let qkv = qkv.reshape((tokens, 3, heads.len(), dim))?;
    let part = |index: usize| -> Result<Tensor> { Ok(qkv.narrow(1, index, 1)?.squeeze(1)?) }; // (tokens, heads, dim)
    let rectangles = Rectangles::new(packing, qkv.device())?;
    let bias = bias.map(|bias| (bias, heads));
    let scores = rectangles.scores(&part(0)?, &part(1)?, 1.0 / (dim as f64).sqrt(), bias)?;
    let context = rectangles.context(&scores, &part(2)?, dropout.map(|dropout| (dropout, heads)), gates)?;
    Ok(context.reshape((tokens, inner))?)
}

fn bias_activation(u: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
    let sum = wide(u)?;
    let sum = sum.broadcast_add(&bias.to_dtype(sum.dtype())?)?;
    Ok(activation.apply(&sum)?.to_dtype(u.dtype())?)
}
