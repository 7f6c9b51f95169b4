//! Worlds that move: time that passes, and learning anew.

use super::Disjoint;
use crate::arm::ArmId;
use crate::error::Result;
use crate::exploration::Exploration;
use crate::posterior::{DiscountedRidge, Posterior};

impl<P: Posterior, E: Exploration> Disjoint<P, E> {
    /// Forgets everything: every arm has the prior again. Arms, version and epoch stay, so that decisions in flight are
    /// still learned from.
    pub fn reset(&mut self) {
        for slot in 0..self.arms.len() {
            self.posterior.push_prior();
            let prior = self.arms.len();
            self.posterior.copy(prior, slot);
            self.posterior.swap_remove(prior);
        }
    }

    /// Learns observations in the place of everything learned so far, which does not count as updates. Those of removed
    /// arms are left out.
    ///
    /// # Errors
    /// What the posterior refuses; the policy has learned those before it then.
    pub(crate) fn relearn<'a>(
        &mut self,
        observations: impl Iterator<Item = (ArmId, &'a [f64], f64, f64)>,
    ) -> Result<()> {
        self.reset();
        for (arm, context, reward, weight) in observations {
            if let Ok(slot) = self.arms.slot(arm) {
                self.posterior.update(slot, context, reward, weight)?;
            }
        }
        Ok(())
    }
}

impl<E: Exploration> Disjoint<DiscountedRidge, E> {
    /// Lets time pass for all arms: evidence counts γ^`time` times as much. O(1).
    ///
    /// # Errors
    /// A time that is negative or not finite; a clock that is not [`DecayClock::Time`](crate::posterior::DecayClock), or
    /// would go beyond 2⁵².
    pub fn elapse(&mut self, time: f64) -> Result<()> {
        self.posterior.elapse(time)
    }
}
