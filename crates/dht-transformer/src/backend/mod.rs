//! Device backends, which run the arithmetic of encoder layers. They do not depend on files or models.

mod adamw;
#[expect(clippy::module_inception, reason = "the trait is in the file of its name")]
mod backend;
mod composed;
mod context;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod gates;
mod layer;
mod parameters;
mod precision;
mod relative_bias;
mod select;

pub(crate) use adamw::{Coefficients, Moments};
#[cfg(test)]
pub(crate) use composed::{DeviceMoments, Operations};
pub use context::{ForwardContext, HeadGateGradient};
pub(crate) use cpu::{Dropout, DropoutSite};
pub use gates::{Gate, LayerGates};
pub(crate) use layer::{Layer, LayerAttention};
pub(crate) use parameters::{
    AttentionParameters, EmbeddingParameters, FeedForwardParameters, LinearParameters, RaggedHead, RaggedParameters,
    TokenIds,
};
pub(crate) use relative_bias::RelativeBias;
pub(crate) use select::select;
