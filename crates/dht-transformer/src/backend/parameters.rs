//! Parameters of embedding, attention, feed-forward and linear layers, as backends use them.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;

use super::relative_bias::RelativeBias;
use crate::config::Activation;
use crate::error::Result;
use crate::tensors::Parameter;

/// Parameters of the embedding layer: the tables of words, positions and token types, and the layer norm.
#[derive(Debug, Clone)]
pub(crate) struct EmbeddingParameters {
    pub(crate) word: Parameter,
    pub(crate) position: Parameter,
    /// Table of token types; `None` in model families without token types.
    pub(crate) token_type: Option<Parameter>,
    pub(crate) scale: Parameter,
    pub(crate) shift: Parameter,
    pub(crate) epsilon: f64,
    pub(crate) hidden: usize,
}

impl EmbeddingParameters {
    pub(crate) fn trains(&self) -> bool {
        let all = [&self.word, &self.position, &self.scale, &self.shift].into_iter().chain(&self.token_type);
        !all.into_iter().all(|p| p.is_frozen())
    }
}

/// Token ids of a batch. Each row of the batch has one index into each of the three embedding tables.
#[derive(Debug, Clone)]
pub(crate) struct TokenIds {
    pub(crate) words: Vec<u32>,
    pub(crate) positions: Vec<u32>,
    pub(crate) token_types: Vec<u32>,
}

/// Parameters of a linear layer: weight (outputs, inputs) and bias (outputs).
#[derive(Debug, Clone)]
pub(crate) struct LinearParameters {
    pub(crate) weight: Parameter,
    pub(crate) bias: Parameter,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl LinearParameters {
    pub(crate) fn trains(&self) -> bool {
        !(self.weight.is_frozen() && self.bias.is_frozen())
    }
}

/// Parameters of an attention sublayer. The weight `qkv` (3·hidden, hidden) has the rows of Q, then of K, then of V.
#[derive(Debug, Clone)]
pub(crate) struct AttentionParameters {
    pub(crate) qkv: Parameter,
    pub(crate) qkv_bias: Parameter,
    pub(crate) output: Parameter,
    pub(crate) output_bias: Parameter,
    pub(crate) scale: Parameter,
    pub(crate) shift: Parameter,
    pub(crate) epsilon: f64,
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
    /// Relative-position bias of the attention scores, which all layers share. `None` in model families without one.
    pub(crate) bias: Option<RelativeBias>,
}

impl AttentionParameters {
    pub(super) fn hidden(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Row numbers in the weight `qkv` that belong to `heads`: first the rows of Q for all these heads, then of K, then
    /// of V.
    pub(crate) fn qkv_rows(&self, heads: &[usize]) -> Vec<usize> {
        (0..3).flat_map(|part| self.columns(heads).into_iter().map(move |c| part * self.hidden() + c)).collect()
    }

    /// Column numbers in the output projection that belong to `heads`.
    pub(crate) fn columns(&self, heads: &[usize]) -> Vec<usize> {
        heads.iter().flat_map(|head| head * self.head_dim..(head + 1) * self.head_dim).collect()
    }
}

/// Parameters of a feed-forward sublayer. `up` is (ffn, hidden) and `down` is (hidden, ffn), where ffn is the number of
/// neurons.
#[derive(Debug, Clone)]
pub(crate) struct FeedForwardParameters {
    pub(crate) up: Parameter,
    pub(crate) up_bias: Parameter,
    pub(crate) down: Parameter,
    pub(crate) down_bias: Parameter,
    pub(crate) scale: Parameter,
    pub(crate) shift: Parameter,
    pub(crate) epsilon: f64,
    pub(crate) hidden: usize,
    pub(crate) neurons: usize,
    pub(crate) activation: Activation,
}

/// Parameters of an attention sublayer from which single dimensions were pruned, so that heads differ in width
/// ("ragged").
#[derive(Debug, Clone)]
pub(crate) struct RaggedParameters {
    pub(crate) projections: [LinearParameters; 3],
    pub(crate) output: LinearParameters,
    pub(crate) scale: Parameter,
    pub(crate) shift: Parameter,
    pub(crate) epsilon: f64,
    /// Columns of the hidden states that the projections of Q, K and V read. `None` if a projection reads all columns.
    pub(crate) inputs: [Option<Arc<[u32]>>; 3],
    /// Heads that remain after pruning, ordered by their number.
    pub(crate) heads: Vec<RaggedHead>,
    /// Width of a head before pruning.
    pub(crate) head_dim: usize,
    /// Number of heads before pruning.
    pub(crate) all_heads: usize,
    /// Relative-position bias of the attention scores, which all layers share. `None` in model families without one.
    pub(crate) bias: Option<RelativeBias>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct RaggedHead {
    pub(crate) number: usize,
    /// Number of columns that the head has in Q, and also in K.
    pub(crate) query_key: usize,
    /// Number of columns that the head has in V.
    pub(crate) value: usize,
}

impl RaggedParameters {
    /// All parameters of the attention sublayer: weights and biases of the projections Q, K, V and output, then the
    /// scale and shift of the layer norm.
    pub(crate) fn all(&self) -> [&Parameter; 10] {
        let [q, k, v] = &self.projections;
        let [q, k, v, output] = [q, k, v, &self.output].map(|linear| [&linear.weight, &linear.bias]);
        [q[0], q[1], k[0], k[1], v[0], v[1], output[0], output[1], &self.scale, &self.shift]
    }

    /// Selects the columns of x, shape (tokens, inputs), that the projection of Q, K or V reads (`part` 0, 1 or 2).
    /// Returns `None` if the projection reads all columns.
    pub(crate) fn read_columns(&self, part: usize, x: &Tensor) -> Result<Option<Tensor>> {
        let read = |columns: &Arc<[u32]>| Ok(x.index_select(&Tensor::new(&columns[..], x.device())?, 1)?);
        self.inputs[part].as_ref().map(read).transpose()
    }

    /// Column ranges of Q, K and V in a matrix whose rows contain all three, one after the other.
    pub(crate) fn outputs(&self) -> [Range<usize>; 3] {
        let mut end = 0;
        self.projections.each_ref().map(|projection| {
            end += projection.outputs;
            end - projection.outputs..end
        })
    }
}
