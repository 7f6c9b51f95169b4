//! Arm ids, and sets of the arms available in a call.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Id of an arm: given once, never reused, unchanged when other arms are added or removed. Its number is below 2⁶³.
///
/// A removed arm stays removed: when saved and loaded, and in every policy that is merged with one that removed it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArmId(u64);

impl ArmId {
    /// Creates the id with this number. The arms of a policy made with K arms are 0 to K − 1.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Number of this arm.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ArmId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "arm {}", self.0)
    }
}

/// Arms available in a call. This is a set: order and repetition do not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Available<'a> {
    /// Every arm.
    All,
    /// These arms and no other.
    Only(&'a [ArmId]),
    /// Every arm except these.
    Except(&'a [ArmId]),
}
