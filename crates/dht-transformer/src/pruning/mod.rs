//! Parts of an encoder taken out for good, and which of them matter.

mod dimensions;
mod importance;
mod prune;

pub use crate::backend::HeadGateGradient;
pub use dimensions::LayerPlan;
pub use importance::Importance;
pub use prune::PrunePlan;
