//! Resets and elapsed time for disjoint policies, which have separate weights for each arm, in non-stationary
//! environments.

use super::Disjoint;
use crate::arm::ArmId;
use crate::error::Result;
use crate::exploration::Exploration;
use crate::posterior::{Beliefs, DiscountedRidge, Posterior};

impl<P: Posterior, E: Exploration> Disjoint<P, E> {
    /// Discards everything learned: every arm is reset to the prior. Arms, version and epoch are unchanged, so the
    /// policy can still learn from decisions whose rewards have not arrived.
    pub fn reset(&mut self) {
        (0..self.arms.len()).for_each(|slot| self.posterior.reset(slot));
    }

    /// Learns an observation again, for example after the evidence was reset, without counting it as an update. Does
    /// nothing if the arm was removed.
    ///
    /// # Errors
    /// Returns the error of the posterior if it refuses the observation. Nothing is learned then.
    pub(crate) fn relearn(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        match self.arms.slot(arm) {
            Ok(slot) => self.posterior.update(slot, context, reward, weight),
            Err(_) => Ok(()),
        }
    }
}

impl<E: Exploration> Disjoint<DiscountedRidge, E> {
    /// Advances the clock of all arms by `time`: the weight of evidence is multiplied by γ^`time`, where γ is the decay
    /// of the posterior. The cost is O(1).
    ///
    /// # Errors
    /// Fails if the time is negative or not finite, if the clock is not
    /// [`DecayClock::Time`](crate::posterior::DecayClock), or if the clock would exceed 2⁵².
    pub fn elapse(&mut self, time: f64) -> Result<()> {
        self.posterior.elapse(time)
    }
}
