//! The arithmetic of layers on one kind of device. It knows no file and no model.

pub(crate) mod attend;
pub(crate) mod composed;
mod context;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
pub(crate) mod gated;
mod precision;
pub(crate) mod sublayers;

pub use context::{ForwardContext, HeadGateGradient};
pub(crate) use cpu::{
    AttentionParameters, Dropout, DropoutSite, EmbeddingOp, EmbeddingParameters, FeedForwardParameters, HeadScoresOp,
    LayersOp, LinearOp, LinearParameters, RaggedHead, RaggedParameters, RaggedSublayer, SelectedSublayer, Sublayer,
    TokenIds, VocabularyLossOp,
};
#[cfg(feature = "cuda")]
pub(crate) use cuda::{adamw_step, sums_of_squares};
pub use gated::{Gate, LayerGates};

/// Gives back what a device keeps for later, where it keeps something.
pub(crate) fn release_memory(device: &candle_core::Device) -> crate::error::Result<()> {
    #[cfg(feature = "cuda")]
    if let candle_core::Device::Cuda(device) = device {
        return cuda::release_memory(device);
    }
    let _ = device;
    Ok(())
}
