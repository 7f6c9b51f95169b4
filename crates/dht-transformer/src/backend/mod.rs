//! The arithmetic of layers on one kind of device. It knows no file and no model.

pub(crate) mod attend;
pub(crate) mod composed;
mod context;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
pub(crate) mod gated;
mod precision;

pub use context::{ForwardContext, HeadGateGradient};
pub(crate) use cpu::{
    AttentionParameters, Dropout, DropoutSite, EmbeddingOp, EmbeddingParameters, FeedForwardParameters, HeadScoresOp,
    LayersOp, LinearOp, LinearParameters, RaggedHead, RaggedParameters, RaggedSublayer, SelectedSublayer, Sublayer,
    TokenIds, VocabularyLossOp,
};
#[cfg(feature = "cuda")]
pub(crate) use cuda::adamw_step;
pub use gated::{Gate, LayerGates};
