//! Merging of semi-bandits (policies that choose slates) that were trained independently; forgetting.

use super::semi_bandit::{Sharing, TopK};
use crate::arm::ArmId;
use crate::arm_set::ArmSet;
use crate::error::{Error, Result};
use crate::exploration::Exploration;
use crate::policy::Disjoint;
use crate::policy::Policy;
use crate::policy::delta::{Delta, DeltaEvidence};
use crate::posterior::{Beliefs, Posterior};

impl<P: Posterior, E: Exploration> TopK<P, E> {
    /// Converts the policy to a disjoint policy (one posterior per arm) with the same weights. Weights that all arms
    /// share become the weights of a single arm with the id 0.
    fn disjoint(&self) -> Result<Disjoint<P, E>> {
        let arms = if self.sharing == Sharing::Shared { ArmSet::new(1)? } else { self.arms.clone() };
        Ok(Disjoint::from_parts(arms, self.posterior.clone(), self.exploration.clone(), self.clock))
    }

    /// Replaces the weights by the weights of a disjoint policy (one posterior per arm). Pinned arms that the disjoint
    /// policy has removed are no longer pinned.
    fn take(&mut self, learned: Disjoint<P, E>) {
        let (arms, posterior, clock) = learned.into_parts();
        (self.posterior, self.clock) = (posterior, clock);
        if self.sharing == Sharing::PerArm {
            self.arms = arms;
        }
        self.pinned.retain(|arm| !self.arms.removed().contains(*arm));
    }

    /// Fails if two policies have different interactions (products of context and features), or if only one of them
    /// shares weights between arms.
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

    /// Computes the evidence that this policy has learned since `earlier`, a clone that was made of this policy before,
    /// as [`Disjoint::diff`] does. If arms have separate weights, the delta has the same form as for disjoint policies.
    /// If all arms share weights, deltas have a separate kind, and list the removed arms apart from the weights.
    ///
    /// # Errors
    /// Fails as [`Disjoint::diff`] does, and if only one of the two policies shares weights.
    pub fn diff(&self, earlier: &Self) -> Result<Delta> {
        self.check_sharing(earlier)?;
        let delta = self.disjoint()?.evidence_since(&earlier.disjoint()?)?;
        let shared = self.sharing == Sharing::Shared;
        let removed = self.arms.removed();
        Ok(DeltaEvidence::Weights(if shared { delta.into_shared(removed.clone()) } else { delta }).into())
    }

    /// Adds the evidence that another worker learned, to this policy, as [`Disjoint::apply`] does.
    ///
    /// # Errors
    /// Fails as [`Disjoint::apply`] does. After an error the policy is unchanged.
    pub fn apply(&mut self, delta: &Delta) -> Result<()> {
        self.apply_evidence(delta.plain()?)
    }

    pub(crate) fn apply_evidence(&mut self, delta: &DeltaEvidence) -> Result<()> {
        let delta = delta.weights()?;
        let (mut learned, mut arms) = (self.disjoint()?, self.arms.clone());
        match self.sharing {
            Sharing::PerArm => learned.add_evidence(delta)?,
            Sharing::Shared => {
                arms.remove_all(&delta.removed_candidates)?;
                let delta = delta.to_single_arm(P::NAME)?;
                if let Some(arm) = delta.arms().find(|arm| *arm != ArmId::new(0)) {
                    return Err(Error::UnknownArm { arm });
                }
                learned.add_evidence(&delta)?;
                if learned.arms().is_empty() {
                    // Shared weights cannot be removed.
                    return Err(Error::RemovedArm { arm: ArmId::new(0) });
                }
                // From here on no step can fail.
                self.arms = arms;
            }
        }
        self.take(learned);
        Ok(())
    }

    /// Adds the evidence of `other`, as if this policy had observed it: the prior counts once, as in
    /// [`Disjoint::merge`]. An arm that either policy has removed is removed. Other pinned arms of this policy stay
    /// pinned.
    ///
    /// # Errors
    /// Fails as [`diff`](Self::diff) and [`apply`](Self::apply) do. After an error the policy is unchanged.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.check_sharing(other)?;
        let (options, exploration) = (other.posterior.options().clone(), other.exploration.clone());
        let mut blank = Self::make(other.posterior.dimension(), 0, options, exploration, other.sharing)?;
        blank.interactions.clone_from(&other.interactions);
        self.apply(&other.diff(&blank)?)
    }

    /// Discards everything learned: all weights are reset to the prior. Arms, version and epoch are unchanged, so the
    /// policy can still learn from slates whose feedback has not arrived.
    pub fn reset(&mut self) {
        (0..self.slots()).for_each(|slot| self.posterior.reset(slot));
    }

    /// Multiplies the evidence by the decay γ, once; the prior keeps its weight.
    ///
    /// # Errors
    /// Fails if the decay is outside [1e-100, 1] or a precision overflows. After an error the policy is unchanged.
    pub fn forget(&mut self, decay: f64) -> Result<()> {
        let mut learned = self.disjoint()?;
        learned.forget(decay)?;
        self.take(learned);
        Ok(())
    }
}
