//! Arguments with which a backend runs a layer: parameters, groups of samples, and dropouts.

use std::sync::Arc;

use super::cpu::Dropout;
use super::parameters::{AttentionParameters, FeedForwardParameters, RaggedParameters};
use crate::tensors::SampleGroup;

/// Layer as it runs for one batch: its parameters, the heads and neurons of each sample, and the dropouts.
pub(crate) struct Layer<'a> {
    /// Layer number, by which gradients of gates are recorded.
    pub(crate) number: usize,
    pub(crate) attention: LayerAttention<'a>,
    pub(crate) feed_forward: &'a FeedForwardParameters,
    /// Heads and neurons that each sample runs. Attention with removed dimensions runs all its remaining heads.
    pub(crate) groups: Vec<SampleGroup>,
    /// Dropouts of the attention probabilities, and of the attention sublayer's output.
    pub(crate) attention_dropouts: (Option<Dropout>, Option<Dropout>),
    /// Dropout of the feed-forward sublayer's output.
    pub(crate) feed_forward_dropout: Option<Dropout>,
}

/// Attention of a layer, whole or with removed dimensions.
#[derive(Clone, Copy)]
pub(crate) enum LayerAttention<'a> {
    Whole(&'a AttentionParameters),
    Ragged(&'a Arc<RaggedParameters>),
}
