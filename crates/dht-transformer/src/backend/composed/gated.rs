//! Encoder layer with differentiable gates on its dimensions, neurons and heads, for architecture search.

use candle_core::Tensor;

use super::operations::{Operations, product, weight};
use super::rectangles::Rectangles;
use crate::backend::cpu::Dropout;
use crate::backend::gates::{Gate, LayerGates};
use crate::backend::parameters::{AttentionParameters, FeedForwardParameters};
use crate::error::Result;
use crate::tensors::Packing;

impl Gate {
    /// Applies a gate to the last axis of x, or returns x if there is no gate. x has shape (…, n), or (tokens, heads,
    /// n) for a gate of shape (heads, n).
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

    /// Multiplies the values of each attention head by the head's gate. x has shape (tokens, heads, dim).
    fn apply_to_heads(gate: Option<&Self>, x: &Tensor) -> Result<Tensor> {
        match gate {
            Some(Self::Scale(numbers)) => Ok(x.broadcast_mul(&numbers.to_dtype(x.dtype())?.unsqueeze(1)?)?),
            None => Ok(x.clone()),
            mix => Ok(Self::apply(mix, &x.transpose(1, 2)?)?.transpose(1, 2)?.contiguous()?),
        }
    }
}

impl Operations {
    /// Runs the attention sublayer with its gates, (tokens, hidden) → (tokens, hidden). Also returns the attention
    /// scores before the softmax, (samples, heads, longest, longest).
    pub(crate) fn gated_attention(
        self,
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
            Ok(self.product_and_bias(&Gate::apply(inputs.as_ref(), x)?, &rows, &bias)?.reshape((tokens, heads, dim))?)
        };
        let compared = gates.query_key_outputs.as_ref();
        let q = Gate::apply(compared, &project(0, &gates.query_inputs)?)?;
        // A scale gate acts once on each product of a query and a key, so only queries are scaled. A mixing gate acts
        // on both.
        let k = Gate::apply(compared.filter(|gate| matches!(gate, Gate::Mix(_))), &project(1, &gates.key_inputs)?)?;
        let v = Gate::apply(gates.value_outputs.as_ref(), &project(2, &gates.value_inputs)?)?;
        let rectangles = Rectangles::new(packing, x.device())?;
        let numbers: Vec<usize> = (0..heads).collect();
        let bias = parameters.bias.as_ref().map(|bias| (bias, &numbers[..]));
        let scores = rectangles.scores(&q, &k, 1.0 / (dim as f64).sqrt(), bias)?;
        let dropout = probability_dropout.map(|dropout| (dropout, &numbers[..]));
        let context = Gate::apply_to_heads(gates.heads.as_ref(), &rectangles.context(&scores, &v, dropout, None)?)?;
        let context = context.reshape((tokens, hidden))?;
        let h = self.product_and_bias(&context, &weight(&parameters.output), &weight(&parameters.output_bias))?;
        let z = (x + self.drop_rows(&h, packing, output_dropout)?)?;
        Ok((self.layer_norm(&z, &parameters.scale, &parameters.shift, parameters.epsilon)?, scores))
    }

    /// Runs the feed-forward sublayer with its gate, (tokens, hidden) → (tokens, hidden). The gate acts on the neurons
    /// after the activation.
    pub(crate) fn gated_feed_forward(
        self,
        x: &Tensor,
        packing: &Packing,
        parameters: &FeedForwardParameters,
        dropout: Option<Dropout>,
        gate: Option<&Gate>,
    ) -> Result<Tensor> {
        let up = self.product_and_bias(x, &weight(&parameters.up), &weight(&parameters.up_bias))?;
        let a = Gate::apply(gate, &parameters.activation.apply(&up)?)?; // (tokens, neurons)
        let h = self.product_and_bias(&a, &weight(&parameters.down), &weight(&parameters.down_bias))?;
        let z = (x + self.drop_rows(&h, packing, dropout)?)?;
        self.layer_norm(&z, &parameters.scale, &parameters.shift, parameters.epsilon)
    }
}
