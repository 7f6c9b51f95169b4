//! Decisions whose rewards have not come.

use super::wrapped::Wrapped;
use crate::decision::Decision;

/// Decisions that wait for their rewards, and the policy that chooses meanwhile.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    pub(super) waiting: Vec<Decision>,
    /// Copy of the policy that has learned a cautious reward for each waiting decision.
    pub(super) chooser: Wrapped,
    /// Rewards that the policy has learned since the copy was made.
    pub(super) stale: usize,
}
