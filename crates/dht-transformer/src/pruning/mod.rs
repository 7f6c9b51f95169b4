//! Parts of an encoder taken out for good, and which of them matter.

mod ablation;
mod dimensions;
mod importance;
mod prune;

pub use crate::backend::HeadGateGradient;
pub use ablation::{AblatedHead, HeadAblation};
pub use dimensions::LayerPlan;
pub use importance::Importance;
pub use prune::PrunePlan;
