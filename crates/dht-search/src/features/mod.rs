//! Contexts of the bandits (f64 vectors) from hidden rows (f32 tensors) and answers.

mod arm_features;
mod pooled;
mod pyramids;

pub(crate) use arm_features::ArmFeatures;
pub(crate) use pooled::{Rows, SIGNALS, pooled, signals_of};
pub use pyramids::PoolingPyramid;
