//! The parameters of the two sublayers of a layer.

use crate::config::Activation;
use crate::tensors::Parameter;

/// The parameters of an attention sublayer. `qkv` is (3·hidden, hidden): the rows of Q, then those of K, then those of V.
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
}

impl AttentionParameters {
    /// The hidden size.
    pub(super) fn hidden(&self) -> usize {
        self.heads * self.head_dim
    }

    /// The rows of `qkv` that belong to these heads: of Q, of K, of V.
    pub(crate) fn qkv_rows(&self, kept: &[usize]) -> Vec<usize> {
        (0..3).flat_map(|part| self.columns(kept).into_iter().map(move |c| part * self.hidden() + c)).collect()
    }

    /// The columns of `output` that belong to these heads.
    pub(crate) fn columns(&self, kept: &[usize]) -> Vec<usize> {
        kept.iter().flat_map(|head| head * self.head_dim..(head + 1) * self.head_dim).collect()
    }
}

/// The parameters of a feed-forward sublayer: `up` is (ffn, hidden), `down` (hidden, ffn).
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
