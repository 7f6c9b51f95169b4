//! Arguments with which a backend runs an encoder layer: parameters, sample groups and dropouts.

use std::sync::Arc;

use super::cpu::Dropout;
use super::parameters::{AttentionParameters, FeedForwardParameters, RaggedParameters};
use crate::tensors::SampleGroup;

/// Encoder layer prepared for one batch: its parameters, the heads and neurons of each sample, and the dropouts.
pub(crate) struct Layer<'a> {
    /// Layer number, counted from 0. It identifies the layer in the gradients of gates on attention heads.
    pub(crate) number: usize,
    pub(crate) attention: LayerAttention<'a>,
    pub(crate) feed_forward: &'a FeedForwardParameters,
    /// Groups of samples, each with the heads and neurons that its samples run. If dimensions were pruned from
    /// attention, all samples run all remaining heads.
    pub(crate) groups: Vec<SampleGroup>,
    /// Two dropouts of the attention sublayer: on the attention probabilities, and on the output.
    pub(crate) attention_dropouts: (Option<Dropout>, Option<Dropout>),
    pub(crate) feed_forward_dropout: Option<Dropout>,
}

/// Attention parameters of a layer: complete, or with single dimensions pruned ("ragged").
#[derive(Clone, Copy)]
pub(crate) enum LayerAttention<'a> {
    Whole(&'a AttentionParameters),
    Ragged(&'a Arc<RaggedParameters>),
}
