//! Encoder layers composed of candle's differentiable operations, some of which are replaced by a device's own kernels.

mod adamw;
mod backend;
mod gated;
mod kernels;
mod layers;
mod operations;
mod ragged;
mod rectangles;
mod scores;
mod sublayers;

pub(crate) use adamw::{DeviceMoments, sums_of_squares};
pub(crate) use backend::Composed;
#[cfg(feature = "cuda")]
pub(crate) use kernels::Kernels;
pub(crate) use operations::Operations;
pub(crate) use rectangles::add_bias;
