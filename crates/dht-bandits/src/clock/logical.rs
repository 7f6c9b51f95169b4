//! Counters with overflow checks, and a policy's logical clock: its number of updates, and the epoch that decides which
//! decisions are still valid.

use crate::error::{Error, Result};

/// Largest accepted number of updates, 2⁶³ − 1.
const LARGEST_COUNT: u64 = u64::MAX / 2;

/// Adds two counts. Fails if the sum is above 2⁶³ − 1.
pub(crate) fn add_counts(what: &'static str, count: u64, added: u64) -> Result<u64> {
    match count.checked_add(added) {
        Some(sum) if sum <= LARGEST_COUNT => Ok(sum),
        _ => Err(Error::CountLimit { what, count, added, limit: LARGEST_COUNT }),
    }
}

/// Checks that a count from a saved state is at most 2⁶³ − 1.
pub(crate) fn check_saved_count(what: &'static str, index: usize, count: u64) -> Result<()> {
    if count <= LARGEST_COUNT {
        return Ok(());
    }
    Err(Error::InvalidState { what, index, problem: format!("is {count}, expected at most {LARGEST_COUNT}") })
}

/// Logical clock of a policy. `version` counts updates. `epoch` counts how often `expire_decisions` was called: a
/// policy learns only from decisions of its current epoch. The version is not checked, so that decisions remain valid
/// when an older save of the same epoch is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Clock {
    pub(crate) version: u64,
    pub(crate) epoch: u64,
}

impl Clock {
    pub(crate) fn load(version: u64, epoch: u64) -> Result<Self> {
        check_saved_count("version", 0, version)?;
        Ok(Self { version, epoch })
    }

    pub(crate) fn after(self, updates: u64) -> Result<Self> {
        Ok(Self { version: add_counts("version", self.version, updates)?, ..self })
    }

    /// Begins the next epoch of a policy, which makes all earlier decisions invalid. The number of the epoch may wrap
    /// around, because epochs are only compared for equality.
    pub(crate) fn expire(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }
}

/// Returns an error if a decision was not made in the current epoch. `made_in` is the epoch of the decision, `epoch`
/// the current epoch of the policy.
pub(crate) fn check_epoch(made_in: u64, epoch: u64) -> Result<()> {
    match made_in.cmp(&epoch) {
        std::cmp::Ordering::Less => Err(Error::StaleDecision { made_in, epoch }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(Error::ForeignDecision { made_in, epoch }),
    }
}
