//! Pruning: permanent removal of layers, heads, neurons and dimensions, with measures of their importance.

mod ablation;
mod dimensions;
mod importance;
mod prune;

pub use crate::backend::HeadGateGradient;
pub use ablation::HeadAblation;
pub use importance::Importance;
pub use prune::PrunePlan;
