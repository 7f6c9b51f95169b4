//! Merging of policies without contexts that were trained independently.

use super::policy::ContextFree;
use super::rule::ContextFreeRule;
use crate::error::Result;
use crate::policy::Policy;
use crate::validate::check_sum;

impl<R: ContextFreeRule> ContextFree<R> {
    /// Adds the evidence of `other`, as if this policy had observed it. For each arm, the total weight Σw and the
    /// weighted sum of rewards Σwr are added; the rule of this policy is unchanged. Arms that exist only in `other` are
    /// added. An arm that either policy has removed is removed. If both policies started from a common ancestor, the
    /// evidence of the ancestor counts twice.
    ///
    /// # Errors
    /// Fails if a sum overflows, if there are more than 2⁶³ − 1 updates, or if memory cannot be allocated. After an
    /// error the policy is unchanged.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let mut merged = self.clone();
        for (arm, theirs) in other.arms.iter().zip(&other.learned) {
            if merged.arms.removed().contains(arm) {
                continue;
            }
            if !merged.arms.contains(arm) {
                merged.insert_arm(arm)?;
            }
            let slot = merged.arms.slot(arm)?;
            let ours = &mut merged.learned[slot];
            ours.weight += theirs.weight;
            ours.sum += theirs.sum;
            check_sum("weight of the arm's rewards", ours.weight)?;
            check_sum("sum of rewards", ours.sum)?;
        }
        for slot in merged.arms.remove_all(other.arms.removed())? {
            merged.learned.swap_remove(slot);
        }
        merged.total += other.total;
        check_sum("weight of all rewards", merged.total)?;
        merged.clock = self.clock.after(other.clock.version)?;
        *self = merged;
        Ok(())
    }
}
