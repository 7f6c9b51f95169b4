//! From hidden rows (f32 tensors) to contexts (f64 vectors): the one border between the encoder and the bandits.

mod arm_features;
mod pooled;
mod pyramids;

pub(crate) use arm_features::ArmFeatures;
pub(crate) use pooled::{Rows, SIGNALS, pooled, signals};
pub use pyramids::{DEPTH_PYRAMID, HEAD_SET_PYRAMID, HEADS_PYRAMID, PoolingPyramid};
