//! Counts that cannot overflow, and the logical clock of a policy.

use crate::error::{Error, Result};

/// Largest count of updates, 2⁶³ − 1.
const LARGEST_COUNT: u64 = u64::MAX / 2;

/// Adds two counts. Refuses a sum above the largest count.
pub(crate) fn add_counts(what: &'static str, count: u64, added: u64) -> Result<u64> {
    match count.checked_add(added) {
        Some(sum) if sum <= LARGEST_COUNT => Ok(sum),
        _ => Err(Error::CountLimit { what, count, added, limit: LARGEST_COUNT }),
    }
}

/// Refuses a saved count above the largest count.
pub(crate) fn check_saved_count(what: &'static str, index: usize, count: u64) -> Result<()> {
    if count <= LARGEST_COUNT {
        return Ok(());
    }
    Err(Error::InvalidState { what, index, problem: format!("is {count}, expected at most {LARGEST_COUNT}") })
}

/// Logical clock of a policy, with a version and an epoch. The version counts updates. The epoch counts how often
/// decisions were expired. A decision belongs to the epoch in which it was made, whatever the version. Decisions
/// therefore remain valid when an older version of the same epoch is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Clock {
    pub(crate) version: u64,
    pub(crate) epoch: u64,
}

impl Clock {
    /// Creates the clock from the version and epoch of a saved state.
    pub(crate) fn load(version: u64, epoch: u64) -> Result<Self> {
        check_saved_count("version", 0, version)?;
        Ok(Self { version, epoch })
    }

    /// Returns the clock after `updates` more updates.
    pub(crate) fn after(self, updates: u64) -> Result<Self> {
        Ok(Self { version: add_counts("version", self.version, updates)?, ..self })
    }

    /// Begins the next epoch. Epochs are only compared for equality, so that their count may wrap around.
    pub(crate) fn expire(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }
}

/// Refuses a decision that was made in another epoch of the policy than `epoch`.
pub(crate) fn check_epoch(made_in: u64, epoch: u64) -> Result<()> {
    match made_in.cmp(&epoch) {
        std::cmp::Ordering::Less => Err(Error::StaleDecision { made_in, epoch }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(Error::ForeignDecision { made_in, epoch }),
    }
}
