//! Counts that cannot overflow, and the logical clock of a policy: how much it has learned, and since when its decisions count.

use crate::error::{Error, Result};

/// The largest count of updates, 2⁶³ − 1.
const LARGEST_COUNT: u64 = u64::MAX / 2;

/// The sum of two counts.
pub(crate) fn add_counts(what: &'static str, count: u64, added: u64) -> Result<u64> {
    match count.checked_add(added) {
        Some(sum) if sum <= LARGEST_COUNT => Ok(sum),
        _ => Err(Error::CountLimit { what, count, added, limit: LARGEST_COUNT }),
    }
}

/// Refuses a saved count beyond the largest.
pub(crate) fn check_saved_count(what: &'static str, index: usize, count: u64) -> Result<()> {
    if count <= LARGEST_COUNT {
        return Ok(());
    }
    Err(Error::InvalidState { what, index, problem: format!("is {count}, expected at most {LARGEST_COUNT}") })
}

/// The version counts updates; decisions of versions before the oldest accepted one are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Clock {
    pub(crate) version: u64,
    pub(crate) oldest_accepted: u64,
}

impl Clock {
    /// The clock of a saved state.
    pub(crate) fn load(version: u64, oldest_accepted: u64) -> Result<Self> {
        check_saved_count("version", 0, version)?;
        if oldest_accepted <= version {
            return Ok(Self { version, oldest_accepted });
        }
        let problem = format!("is {version}, and decisions are accepted since {oldest_accepted}");
        Err(Error::InvalidState { what: "version", index: 0, problem })
    }

    /// The clock after so many more updates.
    pub(crate) fn after(self, updates: u64) -> Result<Self> {
        Ok(Self { version: add_counts("version", self.version, updates)?, ..self })
    }

    /// Accepts decisions from the next version on, if there is one.
    pub(crate) fn expire(&mut self) {
        self.version = (self.version + 1).min(LARGEST_COUNT);
        self.oldest_accepted = self.version;
    }
}
