//! Merging of independently trained policies by their differences; forgetting and unlearning.

use super::Disjoint;
use crate::arm::ArmId;
use crate::arm_set::ArmRanges;
use crate::clock::check_decay;
use crate::error::Result;
use crate::exploration::Exploration;
use crate::gaussian::NaturalParameters;
use crate::policy::Policy;
use crate::policy::delta::{Delta, Learned, WeightsDelta};
use crate::posterior::{Beliefs, Posterior, Ridge};
use crate::saved_state::{StateHeader, check_header};
use crate::validate::{check_finite, check_memory, check_scalar, check_weight};

impl<P: Posterior, E: Exploration> Disjoint<P, E> {
    /// Empty delta of this policy.
    fn empty_delta(&self) -> WeightsDelta {
        let prior = self.posterior.prior_parameters();
        WeightsDelta {
            header: StateHeader::new(format!("delta/{}", P::NAME)),
            dimension: self.dimension(),
            prior: prior.precision[0],
            arms: Vec::new(),
            updates: 0,
            prior_mean: prior.moment[0] / prior.precision[0],
            removed: ArmRanges::default(),
            removed_candidates: ArmRanges::default(),
        }
    }

    /// Difference to `earlier`, a snapshot (clone) of this policy: the evidence learned since. Arms added since are
    /// compared with the prior. For removed arms only the removal is recorded, whenever it happened.
    ///
    /// The cost is O(K·d²), and O(d³) for each arm with new evidence if posteriors do not store A
    /// ([`Ridge::keep_information`](crate::Ridge::keep_information)).
    ///
    /// The difference is exact for [`Ridge`], where evidence is a sum. For Laplace posteriors the difference of two
    /// Gaussians represents the evidence in between, which is an approximation.
    ///
    /// # Errors
    /// Policies of another dimension or prior; posteriors that forget at each update, whose evidence does not add;
    /// precisions that overflow; memory that cannot be allocated.
    pub fn diff(&self, earlier: &Self) -> Result<Delta> {
        Ok(Learned::Weights(self.evidence_since(earlier)?).into())
    }

    pub(crate) fn evidence_since(&self, earlier: &Self) -> Result<WeightsDelta> {
        self.posterior.check_sums()?;
        let empty = self.empty_delta();
        empty.check_compatible(&earlier.empty_delta())?;
        let prior = self.posterior.prior_parameters();
        let length = prior.precision.len() + prior.moment.len();
        check_memory("delta of the policy", length.checked_mul(self.arms().len()))?;
        let mut arms = Vec::with_capacity(self.arms().len());
        for arm in self.arms().iter() {
            let slot = self.arms().slot(arm)?;
            let then = earlier.arms().slot(arm).ok();
            let same = |then: &usize| self.posterior.arm_state(slot) == earlier.posterior.arm_state(*then);
            // Of an arm that nothing was learned of A need not be had from its factor, which takes O(d³).
            if then.as_ref().is_some_and(same) {
                arms.push((arm, NaturalParameters::zero(prior.precision.len(), prior.moment.len())));
                continue;
            }
            let now = self.posterior.natural_parameters(slot);
            let then = then.map_or_else(|| prior.clone(), |slot| earlier.posterior.natural_parameters(slot));
            arms.push((arm, now.plus(-1.0, &then)?));
        }
        arms.sort_by_key(|(arm, _)| *arm);
        let updates = self.version().saturating_sub(earlier.version());
        Ok(WeightsDelta { arms, updates, removed: self.arms().removed().clone(), ..empty })
    }

    /// Adds the evidence of another worker. Arms that do not exist here are added; arms that were removed on either
    /// side are removed, and their evidence is dropped.
    ///
    /// # Errors
    /// A delta of another kind of policy, dimension or prior. Contents that cannot come from [`diff`](Self::diff), such
    /// as an arm listed twice, values that are not finite, or a precision of the wrong length or that leads to one that
    /// is not positive definite. More than 2⁶³ − 1 updates; memory that cannot be allocated. The policy is unchanged
    /// then.
    pub fn apply(&mut self, delta: &Delta) -> Result<()> {
        self.apply_evidence(delta.plain()?)
    }

    pub(crate) fn apply_evidence(&mut self, learned: &Learned) -> Result<()> {
        self.add_evidence(learned.weights()?)
    }

    pub(crate) fn add_evidence(&mut self, delta: &WeightsDelta) -> Result<()> {
        let expected = self.empty_delta();
        check_header(&delta.header, &expected.header.kind)?;
        self.posterior.check_sums()?;
        expected.check_compatible(delta)?;
        delta.check()?;
        let prior = self.posterior.prior_parameters();
        let mut arms = self.arms.clone();
        let mut learned = Vec::with_capacity(delta.arms.len());
        for (arm, evidence) in &delta.arms {
            if arms.removed().contains(*arm) {
                continue;
            }
            let ours = match arms.slot(*arm) {
                Ok(slot) => self.posterior.natural_parameters(slot),
                Err(_) => {
                    arms.insert(*arm)?;
                    prior.clone()
                }
            };
            learned.push((arms.slot(*arm)?, self.posterior.state_with(&ours.plus(1.0, evidence)?)?));
        }
        let (added, removed) = (arms.len() - self.arms.len(), arms.remove_all(&delta.removed)?);
        let clock = self.clock.after(delta.updates)?;
        self.posterior.reserve(added)?;
        // Nothing below can be refused.
        (0..added).for_each(|_| self.posterior.push_prior());
        learned.iter().for_each(|(slot, state)| self.posterior.replace(*slot, state));
        removed.into_iter().for_each(|slot| self.posterior.swap_remove(slot));
        (self.arms, self.clock) = (arms, clock);
        Ok(())
    }

    /// Learns the evidence of `other`, as if this policy had seen it: the prior is counted once. An arm that either has
    /// removed is removed.
    ///
    /// Both must have started from the prior, in one frozen scaling of contexts. Workers that started from a common
    /// ancestor merge [`diff`](Self::diff)s since it instead, or the evidence of the ancestor would count twice.
    /// Merging is associative and commutative up to rounding; exact for [`Ridge`], approximate for Laplace posteriors.
    ///
    /// # Errors
    /// Errors of [`diff`](Self::diff) and [`apply`](Self::apply). The policy is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let blank = Self::new(other.dimension(), 0, other.options().clone(), other.exploration().clone())?;
        self.add_evidence(&other.evidence_since(&blank)?)
    }

    /// Forgets once: the evidence of every arm is multiplied by the decay γ; the prior keeps its weight. O(K·d³).
    ///
    /// Call it periodically, such as every hour, in an environment that drifts;
    /// [`Ridge::decay`](crate::Ridge::decay) does the same at every update.
    ///
    /// # Errors
    /// A decay outside [1e-100, 1]; precisions that overflow. The policy is unchanged then.
    pub fn forget(&mut self, decay: f64) -> Result<()> {
        check_decay(decay)?;
        let slots = 0..self.arms().len();
        let decayed = slots.map(|slot| self.posterior.decayed_state(slot, decay)).collect::<Result<Vec<_>>>()?;
        decayed.iter().enumerate().for_each(|(slot, state)| self.posterior.replace(slot, state));
        Ok(())
    }
}

impl<E: Exploration> Disjoint<Ridge, E> {
    /// Unlearns an observation that was learned before, given with the same values: for a sliding window. O(d²).
    ///
    /// A ← A − wxx' and b ← b − wrx, which is exact in exact arithmetic. In floating point, rounding errors from when A
    /// was large remain when it is small again. The relative error is about ε = 2.2e-16 times the largest precision so
    /// far over the smallest that is left, and grows slowly with the number of calls.
    ///
    /// After 200,000 rounds of a window over twelve standard normal features, means and widths hold 11 digits if the
    /// window is longer than three times the context, for any λ from 1e-6 to 1. A window shorter than the context falls
    /// back on the prior, and means hold 10 digits at λ = 1, 8 at .01, 3 at 1e-6. If single observations outweigh all
    /// others by 10⁴ and more, learn the window anew from time to time.
    ///
    /// One call leaves the fraction 1 − wx'A⁻¹x of the precision along x. A call that would leave less than √ε = 1.5e-8
    /// of it, and so fewer than half the digits, is refused. With λ = 1 that is a single observation with w|x|² above
    /// 6.7e7.
    ///
    /// # Errors
    /// Errors of [`update`](Self::update); a ridge that forgets, whose past weights are unknown. An observation that
    /// was never learned, if this can be detected ([`NotPositiveDefinite`](crate::Error::NotPositiveDefinite)), or that
    /// outweighs all others so far that fewer than half the digits would be left ([`LostDigits`](crate::Error::LostDigits)). A
    /// covariance that would exceed 1e150. The policy is unchanged then.
    pub fn unlearn(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        check_finite("context", context, self.dimension())?;
        check_scalar("reward", reward)?;
        check_weight(weight)?;
        self.posterior.check_sums()?;
        let slot = self.arms().slot(arm)?;
        self.posterior.unlearn(slot, context, reward, weight)
    }
}
