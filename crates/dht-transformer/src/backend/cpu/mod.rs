//! Fused sublayers on packed weights, for CPUs.

mod fused;
mod kernels;
mod packed_weights;
mod variants;

pub(crate) use fused::{
    AttentionParameters, EmbeddingOp, EmbeddingParameters, FeedForwardParameters, HeadScoresOp, LayersOp, LinearOp,
    LinearParameters, RaggedHead, RaggedParameters, RaggedSublayer, SelectedSublayer, Sublayer, TokenIds,
    VocabularyLossOp,
};
pub(crate) use kernels::{Dropout, DropoutSite, has_int8_products};
pub(crate) use packed_weights::PackedWeights;
