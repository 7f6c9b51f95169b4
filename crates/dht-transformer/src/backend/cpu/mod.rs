//! Fused sublayers on packed weights, for CPUs.

mod fused;
mod kernels;
mod packed_weights;
mod variants;

pub(crate) use fused::{
    AttentionParameters, DecoderLossOp, EmbeddingOp, EmbeddingParameters, FeedForwardParameters, Half, LayersOp,
    LinearOp, LinearParameters, TokenIds,
};
pub(crate) use kernels::{Dropout, Place};
pub(crate) use packed_weights::Layouts;
