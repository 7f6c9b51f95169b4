//! Policies that learn apart and put together what they know: merge, difference, discount, taking back.

use crate::arm::ArmId;
use crate::disjoint::Disjoint;
use crate::error::{Error, Result, check_finite, check_parameter, check_scalar, check_weight};
use crate::factor_state::check_part;
use crate::index::Index;
use crate::information::Natural;
use crate::posterior::Posterior;
use crate::ridge::Ridge;
use crate::state::{Header, check_header, header_of};
use serde::{Deserialize, Serialize};

header_of!("delta/");

/// What a policy has learned since a snapshot of it, arm by arm, without the prior: to be sent to another machine.
///
/// Deltas add ([`combine`](Self::combine)) in any order and grouping, to rounding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// What this is a difference of.
    #[serde(deserialize_with = "read_header")]
    pub header: Header,
    dimension: usize,
    prior: f64,
    arms: Vec<(ArmId, Natural)>,
    updates: u64,
}

impl Delta {
    /// The arms of which something is said.
    pub fn arms(&self) -> impl Iterator<Item = ArmId> + '_ {
        self.arms.iter().map(|(arm, _)| *arm)
    }

    /// How many updates are behind it.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Adds what another worker has learned.
    ///
    /// # Errors
    /// A delta of another kind of policy, dimension or prior. This one is unchanged then.
    pub fn combine(&mut self, other: &Self) -> Result<()> {
        check_header(&other.header, &self.header.kind)?;
        check_alike("dimension", self.dimension as f64, other.dimension as f64)?;
        check_alike("prior precision", self.prior, other.prior)?;
        for (arm, theirs) in &other.arms {
            match self.arms.binary_search_by_key(arm, |(id, _)| *id) {
                Ok(place) => self.arms[place].1 = self.arms[place].1.plus(1.0, theirs),
                Err(place) => self.arms.insert(place, (*arm, theirs.clone())),
            }
        }
        self.updates = self.updates.saturating_add(other.updates);
        Ok(())
    }
}

fn check_alike(what: &'static str, ours: f64, theirs: f64) -> Result<()> {
    if ours == theirs { Ok(()) } else { Err(Error::Unlike { what, ours, theirs }) }
}

impl<P: Posterior, I: Index> Disjoint<P, I> {
    fn delta_header() -> Header {
        Header::of(format!("delta/{}", P::NAME))
    }

    /// What this policy has learned since `earlier`, a snapshot (clone) of it. Arms added since count from the prior; arms
    /// removed since are left out.
    ///
    /// Exact for [`Ridge`], where evidence is a sum. For Laplace posteriors the difference of two Gaussians stands for the
    /// evidence between, which is an approximation.
    ///
    /// # Errors
    /// Policies of another dimension or prior; posteriors that forget by themselves, whose evidence does not add.
    pub fn diff(&self, earlier: &Self) -> Result<Delta> {
        self.posterior.check_sums()?;
        check_alike("dimension", self.dimension() as f64, earlier.dimension() as f64)?;
        let prior = self.posterior.prior_natural();
        check_alike("prior precision", prior.precision[0], earlier.posterior.prior_natural().precision[0])?;
        let mut arms = Vec::with_capacity(self.arms().len());
        for arm in self.arms().iter() {
            let now = self.posterior.natural(self.arms().slot(arm)?);
            let then = match earlier.arms().slot(arm) {
                Ok(slot) => earlier.posterior.natural(slot),
                Err(_) => prior.clone(),
            };
            arms.push((arm, now.plus(-1.0, &then)));
        }
        arms.sort_by_key(|(arm, _)| *arm);
        let updates = self.version().saturating_sub(earlier.version());
        let header = Self::delta_header();
        Ok(Delta { header, dimension: self.dimension(), prior: prior.precision[0], arms, updates })
    }

    /// Learns what another worker has learned. Arms that do not exist here are added.
    ///
    /// # Errors
    /// A delta of another kind of policy, dimension or prior, with numbers that are not finite, or that leaves a precision
    /// that is not positive definite. The policy is unchanged then.
    pub fn apply(&mut self, delta: &Delta) -> Result<()> {
        check_header(&delta.header, &Self::delta_header().kind)?;
        self.posterior.check_sums()?;
        check_alike("dimension", self.dimension() as f64, delta.dimension as f64)?;
        let prior = self.posterior.prior_natural();
        check_alike("prior precision", prior.precision[0], delta.prior)?;
        let mut states = Vec::with_capacity(delta.arms.len());
        for (index, (arm, evidence)) in delta.arms.iter().enumerate() {
            check_part("precision of delta", index, &evidence.precision, prior.precision.len(), false)?;
            check_part("moment of delta", index, &evidence.moment, prior.moment.len(), false)?;
            let ours = self.arms().slot(*arm).map_or_else(|_| prior.clone(), |slot| self.posterior.natural(slot));
            states.push(self.posterior.state_of(&ours.plus(1.0, evidence))?);
        }
        for ((arm, _), state) in delta.arms.iter().zip(&states) {
            if !self.arms().contains(*arm) {
                self.insert_arm(*arm)?;
            }
            let slot = self.arms().slot(*arm)?;
            self.posterior.replace(slot, state);
        }
        self.add_updates(delta.updates);
        Ok(())
    }

    /// Learns all that `other` has learned, as if this policy had seen it: the prior is counted once.
    ///
    /// Both must have started from the prior, in one frozen scaling of contexts. Workers that started from a common
    /// ancestor exchange [`diff`](Self::diff)s since it instead, or what the ancestor knew would count twice.
    /// Associative and commutative to rounding; exact for [`Ridge`], approximate for Laplace posteriors.
    ///
    /// # Errors
    /// As [`diff`](Self::diff) and [`apply`](Self::apply). The policy is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let blank = Self::new(other.dimension(), 0, other.options().clone(), other.index().clone())?;
        self.apply(&other.diff(&blank)?)
    }

    /// What every arm has learned counts `factor` times as much from now on; the prior counts as before. O(K·d³).
    ///
    /// For now and then, such as every hour, in a world that moves; [`RidgeOptions::discount`](crate::RidgeOptions::discount)
    /// does it in every update.
    ///
    /// # Errors
    /// A factor outside (0, 1]. The policy is unchanged then.
    pub fn discount(&mut self, factor: f64) -> Result<()> {
        check_parameter("factor", factor, factor > 0.0 && factor <= 1.0, "in (0, 1]")?;
        let prior = self.posterior.prior_natural();
        let faded = (0..self.arms().len())
            .map(|slot| self.posterior.state_of(&self.posterior.natural(slot).faded(factor, &prior)))
            .collect::<Result<Vec<_>>>()?;
        faded.iter().enumerate().for_each(|(slot, state)| self.posterior.replace(slot, state));
        Ok(())
    }
}

impl<I: Index> Disjoint<Ridge, I> {
    /// Takes back an observation that was learned before, with the same numbers: a sliding window, exactly.
    ///
    /// # Errors
    /// As [`update`](Self::update); a ridge that discounts, whose past weights are gone; an observation that was never
    /// learned, where that can be seen (what is left would not be positive definite). The policy is unchanged then.
    pub fn forget(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        check_finite("context", context, self.dimension())?;
        check_scalar("reward", reward)?;
        check_weight(weight)?;
        self.posterior.check_sums()?;
        let slot = self.arms().slot(arm)?;
        self.posterior.absorb(slot, context, reward, -weight)
    }
}
