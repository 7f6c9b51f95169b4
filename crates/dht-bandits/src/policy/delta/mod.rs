//! Deltas: evidence that one worker learned, which can be sent to other workers and merged into their policies.

mod alike;
mod hybrid;
mod learned;
mod weights;

pub(super) use alike::{check_alike, check_scaling};
pub(super) use hybrid::{HybridDelta, OwnEvidence, zero};
pub use learned::Delta;
pub(crate) use learned::DeltaEvidence;
pub(super) use weights::WeightsDelta;
