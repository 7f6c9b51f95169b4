//! Deltas: evidence that one worker learned, for merging into the policies of others.

mod alike;
mod hybrid;
mod learned;
mod weights;

pub(super) use alike::{check_alike, check_scaling};
pub(super) use hybrid::{HybridDelta, OwnEvidence, zero};
pub use learned::Delta;
pub(crate) use learned::DeltaEvidence;
pub(super) use weights::WeightsDelta;
