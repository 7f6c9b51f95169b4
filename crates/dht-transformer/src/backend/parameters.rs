//! Parameters that backends compute with: embedding, attention, feed-forward and linear layers.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;

use super::relative_bias::RelativeBias;
use crate::config::Activation;
use crate::error::Result;
use crate::tensors::Parameter;

/// Parameters of the embedding: its tables and its norm.
#[derive(Debug, Clone)]
pub(crate) struct EmbeddingParameters {
    pub(crate) word: Parameter,
    pub(crate) position: Parameter,
    /// Table of token types; `None` in families without one.
    pub(crate) token_type: Option<Parameter>,
    pub(crate) scale: Parameter,
    pub(crate) shift: Parameter,
    pub(crate) epsilon: f64,
    pub(crate) hidden: usize,
}

impl EmbeddingParameters {
    /// Returns whether any of the parameters is trainable.
    pub(crate) fn trains(&self) -> bool {
        let all = [&self.word, &self.position, &self.scale, &self.shift].into_iter().chain(&self.token_type);
        !all.into_iter().all(|p| p.is_frozen())
    }
}

/// Tokens of a batch. Each row has one index into each of the three embedding tables.
#[derive(Debug, Clone)]
pub(crate) struct TokenIds {
    pub(crate) words: Vec<u32>,
    pub(crate) positions: Vec<u32>,
    pub(crate) token_types: Vec<u32>,
}

/// Linear layer: weight (outputs, inputs) and bias (outputs).
#[derive(Debug, Clone)]
pub(crate) struct LinearParameters {
    pub(crate) weight: Parameter,
    pub(crate) bias: Parameter,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl LinearParameters {
    /// Returns whether any of the parameters is trainable.
    pub(crate) fn trains(&self) -> bool {
        !(self.weight.is_frozen() && self.bias.is_frozen())
    }
}

/// Parameters of an attention sublayer. `qkv` is (3·hidden, hidden): the rows of Q, then of K, then of V.
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
    /// Relative-position bias of the scores, which all layers share; `None` in families without one.
    pub(crate) bias: Option<RelativeBias>,
}

impl AttentionParameters {
    /// Hidden size.
    pub(super) fn hidden(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Rows of `qkv` that belong to `heads`: first of Q, then of K, then of V.
    pub(crate) fn qkv_rows(&self, heads: &[usize]) -> Vec<usize> {
        (0..3).flat_map(|part| self.columns(heads).into_iter().map(move |c| part * self.hidden() + c)).collect()
    }

    /// Columns of `output` that belong to `heads`.
    pub(crate) fn columns(&self, heads: &[usize]) -> Vec<usize> {
        heads.iter().flat_map(|head| head * self.head_dim..(head + 1) * self.head_dim).collect()
    }
}

/// Parameters of a feed-forward sublayer: `up` is (ffn, hidden), `down` (hidden, ffn).
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

/// Parameters of an attention sublayer with removed dimensions.
#[derive(Debug, Clone)]
pub(crate) struct RaggedParameters {
    /// Projections of Q, K and V.
    pub(crate) projections: [LinearParameters; 3],
    pub(crate) output: LinearParameters,
    pub(crate) scale: Parameter,
    pub(crate) shift: Parameter,
    pub(crate) epsilon: f64,
    /// Columns that each projection reads; `None` for all.
    pub(crate) inputs: [Option<Arc<[u32]>>; 3],
    /// Remaining heads.
    pub(crate) heads: Vec<RaggedHead>,
    /// Width of a whole head.
    pub(crate) head_dim: usize,
    /// Number of heads of the whole layer.
    pub(crate) all_heads: usize,
    /// Relative-position bias of the scores, which all layers share; `None` in families without one.
    pub(crate) bias: Option<RelativeBias>,
}

/// Widths of a remaining head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RaggedHead {
    pub(crate) number: usize,
    /// Number of columns in Q; K has the same number.
    pub(crate) query_key: usize,
    /// Number of columns in V.
    pub(crate) value: usize,
}

impl RaggedParameters {
    /// All parameters of the sublayer, beginning with the weights and biases of Q, K, V and the output.
    pub(crate) fn all(&self) -> [&Parameter; 10] {
        let [q, k, v] = &self.projections;
        let [q, k, v, output] = [q, k, v, &self.output].map(|linear| [&linear.weight, &linear.bias]);
        [q[0], q[1], k[0], k[1], v[0], v[1], output[0], output[1], &self.scale, &self.shift]
    }

    /// Columns of x that a projection reads: (tokens, inputs). `None` if it reads all columns.
    pub(crate) fn read_columns(&self, part: usize, x: &Tensor) -> Result<Option<Tensor>> {
        let read = |columns: &Arc<[u32]>| Ok(x.index_select(&Tensor::new(&columns[..], x.device())?, 1)?);
        self.inputs[part].as_ref().map(read).transpose()
    }

    /// Columns of Q, K and V in rows that hold all three.
    pub(crate) fn outputs(&self) -> [Range<usize>; 3] {
        let mut end = 0;
        self.projections.each_ref().map(|projection| {
            end += projection.outputs;
            end - projection.outputs..end
        })
    }
}
