//! Features of texts: the bandits' contexts (f64 vectors), computed from hidden states (f32 tensors) and the answers of
//! exits.

mod arm_features;
mod pooled;
mod pyramids;

pub(crate) use arm_features::ArmFeatures;
pub(crate) use pooled::{Rows, SIGNALS, pooled, signals_of};
pub use pyramids::PoolingPyramid;
