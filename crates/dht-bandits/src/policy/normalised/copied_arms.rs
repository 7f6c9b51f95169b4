//! Arms that were added as copies of another arm while the scaling of contexts was still provisional (the warm-up).
//!
//! During the warm-up the inner policy has learned nothing, so there is no state to copy yet. Each addition is stored
//! with its position among the stored rewards. The copy is made at this position when the inner policy learns the
//! rewards.

use serde::{Deserialize, Serialize};

use super::scaling::Scaling;
use super::waiting::StoredReward;
use crate::arm::ArmId;
use crate::error::Error;
use crate::policy::Policy;

/// Arm that was added as a copy of the arm `like` during the warm-up, before the scaling of contexts was final.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CopiedArm {
    pub(super) arm: ArmId,
    pub(super) like: ArmId,
    /// Number of rewards that the warm-up had stored when the arm was added.
    pub(super) at: usize,
}

/// Makes a policy learn the stored rewards `waiting` in their order. Arms that were added as copies of other arms are
/// copied at the positions where they were added. Each refused reward is reported to `refused` with its error.
pub(super) fn teach_all(
    waiting: &[StoredReward],
    copies: &[CopiedArm],
    scaling: &Scaling,
    policy: &mut impl Policy,
    mut refused: impl FnMut(Error),
) {
    let mut copies = copies.iter().peekable();
    for (position, waiting) in waiting.iter().enumerate() {
        while let Some(copied) = copies.next_if(|copied| copied.at <= position) {
            copied.copy(policy);
        }
        if let Err(error) = waiting.teach(scaling, policy) {
            refused(error);
        }
    }
    copies.for_each(|copied| copied.copy(policy));
}

impl CopiedArm {
    /// Copies the learned state of `like` to the arm. Does nothing if the policy no longer has one of the two arms.
    fn copy(&self, policy: &mut impl Policy) {
        let _ = policy.warm_start(self.arm, self.like);
    }
}

/// Passes the stored rewards of a removed arm on to arms that were added as copies of it, which would otherwise lose
/// them. The first copy inherits the rewards before its addition. Each later copy becomes a copy of the previous one,
/// and inherits the rewards in between.
pub(super) fn inherit(waiting: &mut [StoredReward], copies: &mut Vec<CopiedArm>, removed: ArmId) {
    let (mut first, mut last) = (None, None);
    let mut left = Vec::with_capacity(copies.len());
    for copied in copies.drain(..) {
        if copied.like != removed {
            left.push(copied);
            continue;
        }
        let from = last.map_or(0, |before: CopiedArm| before.at);
        let rewards = waiting[from..copied.at].iter_mut().filter(|waiting| waiting.arm == removed);
        rewards.for_each(|waiting| waiting.arm = copied.arm);
        match last {
            Some(CopiedArm { arm, at, .. }) => left.push(CopiedArm { arm: copied.arm, like: arm, at }),
            None => first = Some(copied.arm),
        }
        last = Some(copied);
    }
    // The removed arm may itself be a copy of another arm.
    match first {
        Some(first) => left.iter_mut().filter(|copied| copied.arm == removed).for_each(|copied| copied.arm = first),
        None => left.retain(|copied| copied.arm != removed),
    }
    left.sort_by_key(|copied| copied.at);
    *copies = left;
}
