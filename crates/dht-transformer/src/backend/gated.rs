//! A layer whose dimensions, neurons and heads pass through gates that have gradients: what a search for an architecture
//! trains.

use candle_core::Tensor;

use super::attend::Rectangles;
use super::composed::{activate, drop_rows, layer_norm, linear, product, weight};
use crate::backend::cpu::{AttentionParameters, Dropout, FeedForwardParameters};
use crate::error::{Error, Result};
use crate::tensors::Packing;

/// A gate on n dimensions: one number each, or a matrix.
#[derive(Debug, Clone)]
pub enum Gate {
    /// x ↦ g ⊙ x. One number for each dimension.
    Scale(Tensor),
    /// x ↦ M·x, (n, n): dimensions that are interpolated from others, as in TAS (Dong and Yang 2019).
    Mix(Tensor),
}

/// The gates of a layer; `None` lets everything through.
///
/// | gate | numbers | acts on |
/// |---|---|---|
/// | `query_inputs`, `key_inputs`, `value_inputs` | (hidden) | the rows that Q, K and V read, each its own: e_q, e_k, e_v |
/// | `query_key_outputs` | (heads, head_dim) | the dimensions that queries and keys are compared in, h_q = h_k: Σ g·q·k |
/// | `value_outputs` | (heads, head_dim) | the values, h_v |
/// | `heads` | (heads) | each head's context |
/// | `neurons` | (intermediate) | the feed-forward after its activation |
///
/// With numbers in {0, 1} the layer gives what it gives without the dimensions at 0
/// ([`Encoder::prune_dimensions`](crate::Encoder::prune_dimensions)). A [`Gate::Mix`] is (n, n), of the outputs (head_dim,
/// head_dim) for all heads alike, and mixes queries and keys both. Numbers of another type are converted to that of the rows.
#[derive(Debug, Clone, Default)]
pub struct LayerGates {
    /// On Q's input.
    pub query_inputs: Option<Gate>,
    /// On K's input.
    pub key_inputs: Option<Gate>,
    /// On V's input.
    pub value_inputs: Option<Gate>,
    /// On the products of queries and keys.
    pub query_key_outputs: Option<Gate>,
    /// On the values.
    pub value_outputs: Option<Gate>,
    /// On the heads' contexts.
    pub heads: Option<Gate>,
    /// On the neurons.
    pub neurons: Option<Gate>,
}

impl LayerGates {
    /// Whether the gates have the shapes of a layer.
    ///
    /// # Errors
    /// [`Error::Shape`] with the first that has another.
    pub(crate) fn check(&self, hidden: usize, heads: usize, neurons: usize) -> Result<()> {
        let dim = hidden / heads;
        for (what, gate, scale, width) in [
            ("query_inputs", &self.query_inputs, vec![hidden], hidden),
            ("key_inputs", &self.key_inputs, vec![hidden], hidden),
            ("value_inputs", &self.value_inputs, vec![hidden], hidden),
            ("query_key_outputs", &self.query_key_outputs, vec![heads, dim], dim),
            ("value_outputs", &self.value_outputs, vec![heads, dim], dim),
            ("heads", &self.heads, vec![heads], heads),
            ("neurons", &self.neurons, vec![neurons], neurons),
        ] {
            let (expected, got) = match gate {
                None => continue,
                Some(Gate::Scale(numbers)) => (scale, numbers.dims()),
                Some(Gate::Mix(matrix)) => (vec![width, width], matrix.dims()),
            };
            if got != expected {
                return Err(Error::Shape { what: format!("gate on {what}"), expected, got: got.to_vec() });
            }
        }
        Ok(())
    }
}

impl Gate {
    /// The gate on the last axis; x is (…, n), or (tokens, heads, n) for numbers (heads, n).
    fn apply(gate: Option<&Self>, x: &Tensor) -> Result<Tensor> {
        match gate {
            None => Ok(x.clone()),
            Some(Self::Scale(numbers)) => Ok(x.broadcast_mul(&numbers.to_dtype(x.dtype())?)?),
            Some(Self::Mix(matrix)) => {
                let shape = x.dims().to_vec();
                let width = shape.last().copied().unwrap_or(1);
                let rows = x.contiguous()?.reshape((x.elem_count() / width.max(1), width))?;
                Ok(product(&rows, &matrix.to_dtype(x.dtype())?)?.reshape(shape)?)
            }
        }
    }

    /// The gate on heads; x is (tokens, heads, dim).
    fn apply_to_heads(gate: Option<&Self>, x: &Tensor) -> Result<Tensor> {
        match gate {
            Some(Self::Scale(numbers)) => Ok(x.broadcast_mul(&numbers.to_dtype(x.dtype())?.unsqueeze(1)?)?),
            None => Ok(x.clone()),
            mix => Ok(Self::apply(mix, &x.transpose(1, 2)?)?.transpose(1, 2)?.contiguous()?),
        }
    }
}

/// The attention sublayer through gates: (tokens, hidden) → (tokens, hidden), and its scores before the softmax, (samples,
/// heads, longest, longest).
pub(crate) fn attention_sublayer(
    x: &Tensor,
    packing: &Packing,
    parameters: &AttentionParameters,
    (probability_dropout, output_dropout): (Option<Dropout>, Option<Dropout>),
    gates: &LayerGates,
) -> Result<(Tensor, Tensor)> {
    let (heads, dim) = (parameters.heads, parameters.head_dim);
    let (tokens, hidden) = x.dims2()?;
    let (qkv, bias) = (weight(&parameters.qkv), weight(&parameters.qkv_bias));
    let project = |part: usize, inputs: &Option<Gate>| -> Result<Tensor> {
        let (rows, bias) = (qkv.narrow(0, part * hidden, hidden)?, bias.narrow(0, part * hidden, hidden)?);
        Ok(linear(&Gate::apply(inputs.as_ref(), x)?, &rows, &bias)?.reshape((tokens, heads, dim))?)
    };
    let compared = gates.query_key_outputs.as_ref();
    let q = Gate::apply(compared, &project(0, &gates.query_inputs)?)?;
    // Numbers act on each product of a query and a key once, interpolation on both sides.
    let k = Gate::apply(compared.filter(|gate| matches!(gate, Gate::Mix(_))), &project(1, &gates.key_inputs)?)?;
    let v = Gate::apply(gates.value_outputs.as_ref(), &project(2, &gates.value_inputs)?)?;
    let rectangles = Rectangles::new(packing, x.device())?;
    let scores = rectangles.scores(&q, &k, 1.0 / (dim as f64).sqrt())?;
    let numbers: Vec<usize> = (0..heads).collect();
    let dropout = probability_dropout.map(|dropout| (dropout, &numbers[..]));
    let context = Gate::apply_to_heads(gates.heads.as_ref(), &rectangles.context(&scores, &v, dropout, None)?)?;
    let context = context.reshape((tokens, hidden))?;
    let h = linear(&context, &weight(&parameters.output), &weight(&parameters.output_bias))?;
    let z = (x + drop_rows(&h, packing, output_dropout)?)?;
    Ok((layer_norm(&z, &parameters.scale, &parameters.shift, parameters.epsilon)?, scores))
}

/// The feed-forward sublayer with a gate after its activation: (tokens, hidden) → (tokens, hidden).
pub(crate) fn feed_forward_sublayer(
    x: &Tensor,
    packing: &Packing,
    parameters: &FeedForwardParameters,
    dropout: Option<Dropout>,
    gate: Option<&Gate>,
) -> Result<Tensor> {
    let up = linear(x, &weight(&parameters.up), &weight(&parameters.up_bias))?;
    let a = Gate::apply(gate, &activate(&up, parameters.activation)?)?; // (tokens, neurons)
    let h = linear(&a, &weight(&parameters.down), &weight(&parameters.down_bias))?;
    let z = (x + drop_rows(&h, packing, dropout)?)?;
    layer_norm(&z, &parameters.scale, &parameters.shift, parameters.epsilon)
}
