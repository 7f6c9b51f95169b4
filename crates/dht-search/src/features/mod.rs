//! Contexts of the bandits (f64 vectors) from hidden rows and logits (f32 tensors).

mod arm_features;
mod pooled;
mod pyramids;

pub(crate) use arm_features::ArmFeatures;
pub(crate) use pooled::{Rows, SIGNALS, log_probabilities, pooled, signals, signals_of};
pub use pyramids::PoolingPyramid;
