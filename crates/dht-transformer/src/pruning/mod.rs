//! Permanent removal of parts of an encoder, and the importance of its parts.

mod ablation;
mod dimensions;
mod importance;
mod prune;

pub use crate::backend::HeadGateGradient;
pub use ablation::HeadAblation;
pub use importance::Importance;
pub use prune::PrunePlan;
