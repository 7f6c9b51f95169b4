//! LinUCB with hybrid arms: weights shared by all arms, and weights of each arm.

mod merge;
mod model;
mod policy;
mod state;

pub use model::Hybrid;
pub(crate) use model::HybridOptions;
