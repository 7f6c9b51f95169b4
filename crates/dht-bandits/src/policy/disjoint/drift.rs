//! Non-stationary environments: elapsed time, and restarted learning.

use super::Disjoint;
use crate::arm::ArmId;
use crate::error::Result;
use crate::exploration::Exploration;
use crate::posterior::{Beliefs, DiscountedRidge, Posterior};

impl<P: Posterior, E: Exploration> Disjoint<P, E> {
    /// Forgets everything: every arm is reset to the prior. Arms, version and epoch stay, so that decisions in flight
    /// are still learned from.
    pub fn reset(&mut self) {
        (0..self.arms.len()).for_each(|slot| self.posterior.reset(slot));
    }

    /// Learns an observation again, without counting it as an update; does nothing if its arm was removed.
    ///
    /// # Errors
    /// Errors of the posterior; nothing is learned then.
    pub(crate) fn relearn(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        match self.arms.slot(arm) {
            Ok(slot) => self.posterior.update(slot, context, reward, weight),
            Err(_) => Ok(()),
        }
    }
}

impl<E: Exploration> Disjoint<DiscountedRidge, E> {
    /// Lets time elapse for all arms: the weight of evidence is multiplied by γ^`time`. O(1).
    ///
    /// # Errors
    /// A time that is negative or not finite; a clock that is not [`DecayClock::Time`](crate::posterior::DecayClock),
    /// or would exceed 2⁵².
    pub fn elapse(&mut self, time: f64) -> Result<()> {
        self.posterior.elapse(time)
    }
}
