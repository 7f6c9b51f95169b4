//! Merging of disjoint policies (separate weights for each arm) that were trained independently; forgetting and
//! unlearning.

use super::Disjoint;
use crate::arm::ArmId;
use crate::arm_set::ArmRanges;
use crate::clock::check_decay;
use crate::error::Result;
use crate::exploration::Exploration;
use crate::gaussian::NaturalParameters;
use crate::policy::Policy;
use crate::policy::delta::{Delta, DeltaEvidence, WeightsDelta};
use crate::posterior::{Beliefs, Posterior, Ridge};
use crate::saved_state::{StateHeader, check_header};
use crate::validate::{check_finite, check_memory, check_scalar, check_weight};

impl<P: Posterior, E: Exploration> Disjoint<P, E> {
    /// Returns an empty delta, without arms or evidence, with this policy's lengths and prior.
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

    /// Computes the evidence that this policy has learned since `earlier`, a clone that was made of this policy before.
    /// Arms added since then are compared with the prior. For a removed arm, only the removal is recorded, even if the
    /// arm was removed before `earlier`.
    ///
    /// The cost is O(K·d²) for K arms of dimension d. If posteriors do not store the precision A
    /// ([`Ridge::keep_information`](crate::Ridge::keep_information)), each arm with new evidence costs O(d³).
    ///
    /// The delta is exact for [`Ridge`], whose evidence is a sum. For Laplace posteriors it is the difference of two
    /// Gaussians, which approximates the evidence learned in between.
    ///
    /// # Errors
    /// Fails if the policies differ in dimension or prior, if a precision overflows, or if memory cannot be allocated.
    /// Also fails if the posterior forgets at each update, since its evidence does not add up then.
    pub fn diff(&self, earlier: &Self) -> Result<Delta> {
        Ok(DeltaEvidence::Weights(self.evidence_since(earlier)?).into())
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
            // For an arm without new evidence, A need not be computed from its factor, which would cost O(d³).
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

    /// Adds the evidence that another worker learned, to this policy. Arms that exist only in the delta are added. Arms
    /// removed in the delta or in this policy are removed, and their evidence is dropped.
    ///
    /// # Errors
    /// Fails if the delta belongs to another kind of policy, dimension or prior, or if it cannot come from
    /// [`diff`](Self::diff). Examples are an arm listed twice, a value that is not finite, a precision of the wrong
    /// length, and a sum of precisions that is not positive definite. Also fails beyond 2⁶³ − 1 updates, or if memory
    /// cannot be allocated. After an error the policy is unchanged.
    pub fn apply(&mut self, delta: &Delta) -> Result<()> {
        self.apply_evidence(delta.plain()?)
    }

    pub(crate) fn apply_evidence(&mut self, learned: &DeltaEvidence) -> Result<()> {
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
        // From here on no step can fail.
        (0..added).for_each(|_| self.posterior.push_prior());
        learned.iter().for_each(|(slot, state)| self.posterior.replace(*slot, state));
        removed.into_iter().for_each(|slot| self.posterior.swap_remove(slot));
        (self.arms, self.clock) = (arms, clock);
        Ok(())
    }

    /// Adds the evidence of `other`, as if this policy had observed it: the prior counts once. An arm that either
    /// policy has removed is removed.
    ///
    /// Both policies must have started from the prior, with the same fixed scaling of contexts. Workers that started
    /// from a common ancestor must merge their [`diff`](Self::diff)s since that ancestor instead, because the evidence
    /// of the ancestor would count twice. Merging is associative and commutative up to rounding. It is exact for
    /// [`Ridge`] and approximate for Laplace posteriors.
    ///
    /// ```
    /// use dht_bandits::{ArmId, LinUcb, Policy, Ridge, Ucb};
    ///
    /// let mut policy = LinUcb::new(1, 2, Ridge::default(), Ucb { alpha: 0.5 })?;
    /// let mut other = policy.clone();
    /// policy.update(ArmId::new(0), &[1.0], 1.0, 1.0)?;
    /// other.update(ArmId::new(0), &[1.0], 1.0, 1.0)?;
    /// policy.merge(&other)?;
    /// // Two rewards of 1 and the prior precision of 1: the mean is 2/3.
    /// assert!((policy.score(ArmId::new(0), &[1.0])?.mean - 2.0 / 3.0).abs() < 1e-12);
    /// # Ok::<(), dht_bandits::Error>(())
    /// ```
    ///
    /// # Errors
    /// Fails as [`diff`](Self::diff) and [`apply`](Self::apply) do. After an error the policy is unchanged.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let blank = Self::new(other.dimension(), 0, other.options().clone(), other.exploration().clone())?;
        self.add_evidence(&other.evidence_since(&blank)?)
    }

    /// Multiplies the evidence of every arm by the decay γ, once; the prior keeps its weight. The cost is O(K·d³) for K
    /// arms of dimension d.
    ///
    /// Call `forget` periodically, for example every hour, in an environment that drifts.
    /// [`Ridge::decay`](crate::Ridge::decay) does the same at every update.
    ///
    /// # Errors
    /// Fails if the decay is outside [1e-100, 1] or a precision overflows. After an error the policy is unchanged.
    pub fn forget(&mut self, decay: f64) -> Result<()> {
        check_decay(decay)?;
        let slots = 0..self.arms().len();
        let decayed = slots.map(|slot| self.posterior.decayed_state(slot, decay)).collect::<Result<Vec<_>>>()?;
        decayed.iter().enumerate().for_each(|(slot, state)| self.posterior.replace(slot, state));
        Ok(())
    }
}

impl<E: Exploration> Disjoint<Ridge, E> {
    /// Removes an observation that was learned before, for example when it leaves a sliding window. All arguments must
    /// have the same values as when it was learned. The cost is O(d²).
    ///
    /// For the precision A, the moment b, and an observation x with reward r and weight w, the update is A ← A − wxx'
    /// and b ← b − wrx. It is exact in exact arithmetic. In floating point, rounding errors from the time when A was
    /// large remain after A has become small again. Their relative size is about ε = 2.2e-16 times the ratio of the
    /// largest precision so far to the smallest remaining one. This error grows slowly with the number of calls.
    ///
    /// The accuracy was measured after 200,000 rounds of a window over twelve standard normal features. If the window
    /// is longer than three times the length of a context, means and widths hold 11 digits for any prior precision λ
    /// from 1e-6 to 1. With a window shorter than a context, the prior determines some directions, and means hold 10
    /// digits at λ = 1, 8 at .01 and 3 at 1e-6. If single observations outweigh all others by 10⁴ or more, learn the
    /// window anew from time to time.
    ///
    /// One call reduces the precision along x to the fraction 1 − wx'A⁻¹x. A call that would leave less than √ε =
    /// 1.5e-8 of it, and so fewer than half the digits, is refused. With λ = 1, that happens to a single observation
    /// with w|x|² above 6.7e7.
    ///
    /// ```
    /// use dht_bandits::{ArmId, LinUcb, Policy, Ridge, Ucb};
    ///
    /// let mut policy = LinUcb::new(1, 2, Ridge::default(), Ucb { alpha: 0.5 })?;
    /// policy.update(ArmId::new(0), &[1.0], 3.0, 1.0)?;
    /// policy.unlearn(ArmId::new(0), &[1.0], 3.0, 1.0)?;
    /// assert!(policy.score(ArmId::new(0), &[1.0])?.mean.abs() < 1e-12);
    /// # Ok::<(), dht_bandits::Error>(())
    /// ```
    ///
    /// # Errors
    /// - The errors of [`update`](Self::update).
    /// - An error if the ridge regression forgets, since the weights of past observations are then unknown.
    /// - [`NotPositiveDefinite`](crate::Error::NotPositiveDefinite) if the observation was never learned and this can
    ///   be detected.
    /// - [`LostDigits`](crate::Error::LostDigits) if the observation outweighs all others so far that fewer than half
    ///   the digits would remain.
    /// - An error if a covariance would exceed 1e150.
    ///
    /// After an error the policy is unchanged.
    pub fn unlearn(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        check_finite("context", context, self.dimension())?;
        check_scalar("reward", reward)?;
        check_weight(weight)?;
        self.posterior.check_sums()?;
        let slot = self.arms().slot(arm)?;
        self.posterior.unlearn(slot, context, reward, weight)
    }
}
