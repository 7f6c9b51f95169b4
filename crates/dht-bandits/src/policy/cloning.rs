//! Cloning of boxed policies.

use super::{Observation, Policy};
use crate::clock::check_epoch;
use crate::error::Result;

/// Cloning of every policy that implements `Clone`.
pub trait ClonePolicy {
    /// Returns a boxed copy.
    fn clone_box(&self) -> Box<dyn Policy>;

    /// Learns rewards one by one on a copy: all of them, or none.
    ///
    /// # Errors
    /// Errors of [`Policy::learn`], for the first observation that is refused.
    fn learn_in_order(&mut self, observations: &[Observation]) -> Result<()>;
}

impl<P: Policy + Clone + 'static> ClonePolicy for P {
    fn clone_box(&self) -> Box<dyn Policy> {
        Box::new(self.clone())
    }

    fn learn_in_order(&mut self, observations: &[Observation]) -> Result<()> {
        let mut learned = self.clone();
        for Observation { decision, reward, weight } in observations {
            if *weight == 1.0 {
                // From a decision some learn more than from a bare update.
                learned.learn(decision, *reward)?;
            } else {
                check_epoch(decision.choice.epoch, learned.epoch())?;
                learned.update(decision.arm(), &decision.context, *reward, *weight)?;
            }
        }
        *self = learned;
        Ok(())
    }
}

impl Clone for Box<dyn Policy> {
    fn clone(&self) -> Self {
        (**self).clone_box()
    }
}
