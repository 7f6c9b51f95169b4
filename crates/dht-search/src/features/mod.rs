//! Features of texts: contexts (input vectors of bandits), computed from hidden states and the answers of exits.

mod arm_features;
mod pooled;
mod pyramids;

pub(crate) use arm_features::ArmFeatures;
pub(crate) use pooled::{Rows, SIGNALS, pooled, signals_of};
pub use pyramids::PoolingPyramid;
