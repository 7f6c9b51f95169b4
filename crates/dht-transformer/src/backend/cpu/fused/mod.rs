//! Fused operations of the encoder on the CPU, implemented as custom operations of candle.
//!
//! Each operation takes the hidden rows and an *anchor*: a dummy variable that makes candle call the backward pass even
//! if the rows have no gradient. The gradients of weights go to the [`ForwardContext`](crate::ForwardContext), not
//! through candle's graph.

mod apply;
mod embedding;
mod head_scores;
mod layers;
mod linear;
mod ragged;
mod selected;
mod slices;
mod sublayer;
mod vocabulary_loss;
mod weight_slices;

pub(crate) use embedding::EmbeddingOp;
pub(crate) use head_scores::HeadScoresOp;
pub(crate) use layers::LayersOp;
pub(crate) use linear::LinearOp;
pub(crate) use ragged::RaggedSublayer;
pub(crate) use selected::SelectedSublayer;
pub(crate) use sublayer::Sublayer;
pub(crate) use vocabulary_loss::VocabularyLossOp;
