//! Hybrid LinUCB: a policy with weights shared by all arms and further weights for each arm.

mod merge;
mod model;
mod policy;
mod state;

pub use model::Hybrid;
pub(crate) use model::HybridOptions;
