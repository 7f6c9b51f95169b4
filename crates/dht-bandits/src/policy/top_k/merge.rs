//! Semi-bandits that learned independently, merged; forgetting.

use super::{Sharing, TopK};
use crate::arm::ArmId;
use crate::arm_set::ArmSet;
use crate::clock::Forgetting;
use crate::error::{Error, Result};
use crate::exploration::Exploration;
use crate::policy::Policy;
use crate::policy::{Delta, Disjoint};
use crate::posterior::Posterior;

impl<P: Posterior, E: Exploration> TopK<P, E> {
    /// The weights as those of disjoint arms; shared ones as those of a single arm 0.
    fn disjoint(&self) -> Result<Disjoint<P, E>> {
        let arms = if self.sharing == Sharing::Shared { ArmSet::new(1)? } else { self.arms.clone() };
        Ok(Disjoint::of_parts(arms, self.posterior.clone(), self.exploration.clone(), self.clock))
    }

    /// Takes the weights back. Arms that were removed are no longer pinned.
    fn take(&mut self, learned: Disjoint<P, E>) {
        let (arms, posterior, clock) = learned.into_parts();
        (self.posterior, self.clock) = (posterior, clock);
        if self.sharing == Sharing::PerArm {
            self.pinned.retain(|&arm| arms.contains(arm));
            self.arms = arms;
        }
    }

    /// Refuses a policy whose weights belong to others.
    fn check_sharing(&self, other: &Self) -> Result<()> {
        if self.interactions != other.interactions {
            let problem = "interactions: expected the same products in both policies to merge".to_owned();
            return Err(Error::Settings { problem });
        }
        if self.sharing == other.sharing {
            return Ok(());
        }
        let shared = |policy: &Self| f64::from(u8::from(policy.sharing == Sharing::Shared));
        Err(Error::Unlike { what: "sharing of weights (1 is yes)", ours: shared(self), theirs: shared(other) })
    }

    /// What this policy has learned since `earlier`, a snapshot (clone) of it, as [`Disjoint::diff`]. Deltas of shared
    /// weights are of a kind of their own; with weights per arm they are those of disjoint policies.
    ///
    /// # Errors
    /// As [`Disjoint::diff`]; weights that are shared on one side alone.
    pub fn diff(&self, earlier: &Self) -> Result<Delta> {
        self.check_sharing(earlier)?;
        let delta = self.disjoint()?.diff(&earlier.disjoint()?)?;
        Ok(if self.sharing == Sharing::Shared { delta.into_shared() } else { delta })
    }

    /// Adds what another worker has learned, as [`Disjoint::apply`].
    ///
    /// # Errors
    /// As [`Disjoint::apply`]. The policy is unchanged then.
    pub fn apply(&mut self, delta: &Delta) -> Result<()> {
        let mut learned = self.disjoint()?;
        match self.sharing {
            Sharing::PerArm => learned.apply(delta)?,
            Sharing::Shared => {
                let delta = delta.of_shared(P::NAME)?;
                if let Some(arm) = delta.arms().find(|arm| *arm != ArmId::new(0)) {
                    return Err(Error::UnknownArm { arm });
                }
                learned.apply(&delta)?;
                if learned.arms().is_empty() {
                    // Shared weights cannot be removed.
                    return Err(Error::RemovedArm { arm: ArmId::new(0) });
                }
            }
        }
        self.take(learned);
        Ok(())
    }

    /// Learns all that `other` has learned, as if this policy had seen it: the prior is counted once, as
    /// [`Disjoint::merge`] says. Pinned arms stay those of this policy.
    ///
    /// # Errors
    /// As [`diff`](Self::diff) and [`apply`](Self::apply). The policy is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.check_sharing(other)?;
        let (options, exploration) = (other.posterior.options().clone(), other.exploration.clone());
        let mut blank = Self::make(other.posterior.dimension(), 0, options, exploration, other.sharing)?;
        blank.interactions.clone_from(&other.interactions);
        self.apply(&other.diff(&blank)?)
    }

    /// Forgets once: what has been learned counts γ times as much from now on, γ the decay; the prior counts as before.
    ///
    /// # Errors
    /// Precisions that overflow. The policy is unchanged then.
    pub fn forget(&mut self, forgetting: Forgetting) -> Result<()> {
        let mut learned = self.disjoint()?;
        learned.forget(forgetting)?;
        self.take(learned);
        Ok(())
    }
}
