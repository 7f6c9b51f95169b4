//! Merging of policies that learned independently, by their differences; forgetting and unlearning.

use super::Disjoint;
use crate::arm::ArmId;
use crate::arm_set::{ArmRanges, check_number, check_removed};
use crate::clock::Forgetting;
use crate::clock::{add_counts, check_saved_count};
use crate::error::{Error, Result};
use crate::exploration::Exploration;
use crate::gaussian::NaturalParameters;
use crate::policy::Policy;
use crate::posterior::{DiagonalLaplace, FullLaplace, Posterior, Ridge};
use crate::saved_state::{StateHeader, check_header, header_reader};
use crate::validate::{check_finite, check_memory, check_part, check_scalar, check_weight};
use serde::{Deserialize, Serialize};

header_reader!("delta/");

/// What the kind of a delta has before the posterior's name where all arms share their weights.
const SHARED: &str = "shared/";

/// The difference between a policy and an earlier snapshot of it: what each arm has learned, without the prior, and
/// which arms were removed. To be sent to another machine.
///
/// Deltas add ([`combine`](Self::combine)) in any order and grouping, to rounding. An arm that one of them has removed
/// is removed in the sum, whatever others have learned of it. Its contents are checked whole when it is combined or
/// applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// The kind and format of the delta.
    #[serde(deserialize_with = "read_header")]
    pub header: StateHeader,
    dimension: usize,
    prior: f64,
    // Each arm once, in ascending order.
    arms: Vec<(ArmId, NaturalParameters)>,
    updates: u64,
    #[serde(default)]
    prior_mean: f64,
    #[serde(default)]
    removed: ArmRanges,
}

impl Delta {
    /// The arms that learned something.
    pub fn arms(&self) -> impl Iterator<Item = ArmId> + '_ {
        self.arms.iter().map(|(arm, _)| *arm)
    }

    /// The number of updates it sums up.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Adds what another worker has learned, and removes what it has removed.
    ///
    /// # Errors
    /// A delta of another kind of policy, dimension or prior; contents that cannot come from [`diff`](Disjoint::diff),
    /// such as an arm listed twice or a precision of the wrong length; sums that overflow. This one is unchanged then.
    pub fn combine(&mut self, other: &Self) -> Result<()> {
        check_header(&other.header, &self.header.kind)?;
        self.check_compatible(other)?;
        self.check()?;
        other.check()?;
        let mut sum = self.clone();
        for (arm, theirs) in &other.arms {
            match sum.arms.binary_search_by_key(arm, |(id, _)| *id) {
                Ok(position) => sum.arms[position].1 = sum.arms[position].1.plus(1.0, theirs)?,
                Err(position) => sum.arms.insert(position, (*arm, theirs.clone())),
            }
        }
        sum.removed.unite(&other.removed);
        sum.arms.retain(|(arm, _)| !sum.removed.contains(*arm));
        sum.updates = add_counts("updates of delta", self.updates, other.updates)?;
        *self = sum;
        Ok(())
    }

    /// Refuses a delta of another dimension or prior.
    fn check_compatible(&self, other: &Self) -> Result<()> {
        check_equal("dimension", self.dimension as f64, other.dimension as f64)?;
        check_equal("prior precision", self.prior, other.prior)?;
        check_equal("prior mean", self.prior_mean, other.prior_mean)
    }

    /// The length of an arm's precision.
    fn precision_length(&self) -> Result<usize> {
        let d = self.dimension;
        let posterior = self.header.kind.strip_prefix("delta/");
        match posterior.map(|posterior| posterior.strip_prefix(SHARED).unwrap_or(posterior)) {
            Some(<Ridge as Posterior>::NAME | <FullLaplace as Posterior>::NAME) => {
                // The triangle of no dimension that fits into memory overflows.
                Ok(d.checked_add(1).and_then(|above| d.checked_mul(above)).map_or(usize::MAX, |square| square / 2))
            }
            Some(<DiagonalLaplace as Posterior>::NAME) => Ok(d),
            _ => Err(Error::ForeignState { expected: "delta".to_owned(), found: self.header.kind.clone() }),
        }
    }

    /// Refuses contents that cannot come from [`diff`](Disjoint::diff).
    fn check(&self) -> Result<()> {
        let length = self.precision_length()?;
        check_removed(&self.removed)?;
        check_saved_count("updates of delta", 0, self.updates)?;
        let mut before = None;
        for (index, (arm, evidence)) in self.arms.iter().enumerate() {
            check_number(*arm)?;
            if before == Some(*arm) {
                return Err(Error::DuplicateArm { arm: *arm });
            }
            if before > Some(*arm) || self.removed.contains(*arm) {
                let problem = format!("{arm} is removed, or not in ascending order");
                return Err(Error::InvalidState { what: "arm of delta", index, problem });
            }
            before = Some(*arm);
            check_part("precision of delta", index, &evidence.precision, length, false)?;
            check_part("moment of delta", index, &evidence.moment, self.dimension, false)?;
            check_saved_count("updates of arm of delta", index, evidence.updates)?;
        }
        Ok(())
    }
}

impl Delta {
    /// The same, of weights that all arms share.
    pub(crate) fn into_shared(mut self) -> Self {
        let posterior = self.header.kind.strip_prefix("delta/").unwrap_or_default();
        self.header = StateHeader::of(format!("delta/{SHARED}{posterior}"));
        self
    }

    /// The delta of a policy with one arm, of one of weights that all arms share.
    ///
    /// # Errors
    /// A delta of a policy whose arms have weights of their own.
    pub(crate) fn of_shared(&self, posterior: &str) -> Result<Self> {
        check_header(&self.header, &format!("delta/{SHARED}{posterior}"))?;
        Ok(Self { header: StateHeader::of(format!("delta/{posterior}")), ..self.clone() })
    }
}

fn check_equal(what: &'static str, ours: f64, theirs: f64) -> Result<()> {
    if ours == theirs { Ok(()) } else { Err(Error::Unlike { what, ours, theirs }) }
}

impl<P: Posterior, E: Exploration> Disjoint<P, E> {
    /// The empty delta of this policy.
    fn empty_delta(&self) -> Delta {
        let prior = self.posterior.prior_parameters();
        Delta {
            header: StateHeader::of(format!("delta/{}", P::NAME)),
            dimension: self.dimension(),
            prior: prior.precision[0],
            arms: Vec::new(),
            updates: 0,
            prior_mean: prior.moment[0] / prior.precision[0],
            removed: ArmRanges::default(),
        }
    }

    /// What this policy has learned since `earlier`, a snapshot (clone) of it. Arms added since count from the prior.
    /// Of removed arms only the removal is recorded, whenever it was.
    ///
    /// O(K·d²), and O(d³) for each arm that has learned since where posteriors do not keep A
    /// ([`RidgeOptions::keep_information`](crate::RidgeOptions::keep_information)).
    ///
    /// Exact for [`Ridge`], where evidence is a sum. For Laplace posteriors the difference of two Gaussians stands for
    /// the evidence between, which is an approximation.
    ///
    /// # Errors
    /// Policies of another dimension or prior; posteriors that forget by themselves, whose evidence does not add;
    /// precisions that overflow; memory that cannot be had.
    pub fn diff(&self, earlier: &Self) -> Result<Delta> {
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
        Ok(Delta { arms, updates, removed: self.arms().removed().clone(), ..empty })
    }

    /// Adds what another worker has learned. Arms that do not exist here are added; arms that were removed on either
    /// side are removed, and what was learned of them is dropped.
    ///
    /// # Errors
    /// A delta of another kind of policy, dimension or prior; contents that cannot come from [`diff`](Self::diff), such
    /// as an arm listed twice, values that are not finite, or a precision of the wrong length or that leaves one that
    /// is not positive definite; more than 2⁶³ − 1 updates; memory that cannot be had. The policy is unchanged then.
    pub fn apply(&mut self, delta: &Delta) -> Result<()> {
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

    /// Learns all that `other` has learned, as if this policy had seen it: the prior is counted once. An arm that
    /// either has removed is removed.
    ///
    /// Both must have started from the prior, in one frozen scaling of contexts. Workers that started from a common
    /// ancestor merge [`diff`](Self::diff)s since it instead, or what the ancestor knew would count twice.
    /// Associative and commutative to rounding; exact for [`Ridge`], approximate for Laplace posteriors.
    ///
    /// # Errors
    /// As [`diff`](Self::diff) and [`apply`](Self::apply). The policy is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let blank = Self::new(other.dimension(), 0, other.options().clone(), other.exploration().clone())?;
        self.apply(&other.diff(&blank)?)
    }

    /// Forgets once: what every arm has learned counts γ times as much from now on, γ the decay; the prior counts as
    /// before. O(K·d³).
    ///
    /// To be called from time to time, such as every hour, in an environment that drifts;
    /// [`RidgeOptions::forgetting`](crate::RidgeOptions::forgetting) does it at every update.
    ///
    /// # Errors
    /// Precisions that overflow. The policy is unchanged then.
    pub fn forget(&mut self, forgetting: Forgetting) -> Result<()> {
        let decay = forgetting.decay();
        let prior = self.posterior.prior_parameters();
        let decayed = (0..self.arms().len())
            .map(|slot| self.posterior.state_with(&self.posterior.natural_parameters(slot).decayed(decay, &prior)))
            .collect::<Result<Vec<_>>>()?;
        decayed.iter().enumerate().for_each(|(slot, state)| self.posterior.replace(slot, state));
        Ok(())
    }
}

impl<E: Exploration> Disjoint<Ridge, E> {
    /// Unlearns an observation that was learned before, given with the same values: for a sliding window. O(d²).
    ///
    /// A ← A − wxx' and b ← b − wrx: exact in exact arithmetic. In floating point, what rounding did while A was large
    /// stays when it is small again: the relative error is about ε = 2.2e-16 times the largest precision there was over
    /// the smallest that is left, and grows slowly with the number of calls. After 200,000 rounds of a window over
    /// twelve standard normal features, means and widths hold 11 digits where the window is longer than three times the
    /// context, for any λ from 1e-6 to 1; a window shorter than the context falls back on the prior, and means hold 10
    /// digits at λ = 1, 8 at .01, 3 at 1e-6. Where single observations outweigh all else by 10⁴ and more, learn the
    /// window anew from time to time.
    ///
    /// Of the precision along x one call leaves the share 1 − wx'A⁻¹x; one that would leave less than √ε = 1.5e-8 of
    /// it, and so fewer than half the digits, is refused. With λ = 1 that is a lone observation with w|x|² above 6.7e7.
    ///
    /// # Errors
    /// As [`update`](Self::update); a ridge that forgets, whose past weights are gone; an observation that was never
    /// learned, where that can be seen ([`NotPositiveDefinite`](Error::NotPositiveDefinite)), or that outweighs all
    /// else so far that fewer than half the digits would be left ([`LostDigits`](Error::LostDigits)); a covariance that
    /// would exceed 1e150. The policy is unchanged then.
    pub fn unlearn(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        check_finite("context", context, self.dimension())?;
        check_scalar("reward", reward)?;
        check_weight(weight)?;
        self.posterior.check_sums()?;
        let slot = self.arms().slot(arm)?;
        self.posterior.unlearn(slot, context, reward, weight)
    }
}
