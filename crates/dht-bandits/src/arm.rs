//! Arm ids, and sets of the arms that are available in a call of a policy.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Id of an arm. An id is assigned once, is never reused, and does not change when other arms are added or removed. Its
/// number is below 2⁶³.
///
/// A removed arm stays removed: after saving and loading, and in every policy that is merged with a policy that removed
/// it.
///
/// ```
/// use dht_bandits::{ArmId, LinUcb, Policy, Ridge, Ucb};
///
/// let mut policy = LinUcb::new(1, 2, Ridge::new(1.0), Ucb { alpha: 0.5 })?;
/// policy.remove_arm(ArmId::new(1))?;
/// // The id 1 is not reused.
/// assert_eq!(policy.add_arm()?, ArmId::new(2));
/// assert!(!policy.arms().contains(ArmId::new(1)));
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArmId(u64);

impl ArmId {
    /// Creates the id with this number. The arms of a policy created with K arms are 0 to K − 1.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Number of the arm.
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
    /// Every arm of the policy.
    All,
    /// Only the arms of this list.
    Only(&'a [ArmId]),
    /// Every arm except those of this list.
    Except(&'a [ArmId]),
}
