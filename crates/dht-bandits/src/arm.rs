//! Ids of arms, and which arms may be chosen in a call.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The id of an arm: given once, never reused, not changed by adding or removing other arms. Its number is below 2⁶³.
///
/// A removed arm stays removed: when saved and loaded, and in every policy that is merged with one that removed it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArmId(u64);

impl ArmId {
    /// The arm of this number. The arms of a policy made with K arms are 0 to K − 1.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of this arm.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ArmId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "arm {}", self.0)
    }
}

/// Which arms may be chosen in a call. A set: order and repetition do not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Available<'a> {
    /// Every arm.
    All,
    /// These arms and no other.
    Only(&'a [ArmId]),
    /// Every arm but these.
    Except(&'a [ArmId]),
}
