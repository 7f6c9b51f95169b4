//! CPU backend: fused sublayers whose weights are packed for matrix products.

mod adamw;
mod backend;
mod fused;
mod kernels;
mod packed_weights;
mod variants;

pub(crate) use backend::Cpu;
pub(crate) use kernels::{DistanceBias, Dropout, DropoutSite, has_int8_products};
pub(crate) use packed_weights::PackedWeights;
