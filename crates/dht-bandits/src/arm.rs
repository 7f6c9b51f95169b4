//! Identifiers of a bandit's arms, and sets of the arms that are available for one decision.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Identifier of an arm (an action) of a bandit. A policy assigns each id once and never reuses it. Adding or removing
/// other arms does not change an id. Its number is below 2⁶³.
///
/// The removal of an arm is permanent. The arm stays removed after the policy is saved and loaded, and in every policy
/// that merges with this one.
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
    /// Creates an id from its number. In a policy created with K arms, the first ids are 0 to K − 1.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the id as a number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ArmId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "arm {}", self.0)
    }
}

/// Set of arms among which a policy may choose in one call. Order and repetition do not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Available<'a> {
    All,
    /// Only the listed arms.
    Only(&'a [ArmId]),
    /// Every arm except the listed ones.
    Except(&'a [ArmId]),
}
