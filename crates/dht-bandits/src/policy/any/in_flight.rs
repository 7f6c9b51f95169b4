//! Announced decisions, whose rewards have not arrived yet.

use super::wrapped::Wrapped;
use crate::decision::Decision;

/// Announced decisions, and the policy that chooses until their rewards arrive.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    pub(super) waiting: Vec<Decision>,
    /// Copy of the policy that has learned a cautious reward for each announced decision, whose reward has not arrived
    /// yet.
    pub(super) chooser: Wrapped,
    /// Number of rewards and other changes that the policy has learned since it was copied to `chooser`.
    pub(super) stale: usize,
}
