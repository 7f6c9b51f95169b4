//! Deltas of policies whose weights are separate for each arm or shared by all arms.

use serde::{Deserialize, Serialize};

use crate::arm::ArmId;
use crate::arm_set::{ArmRanges, check_number, check_removed};
use crate::clock::{add_counts, check_saved_count};
use crate::error::{Error, Result};
use crate::gaussian::NaturalParameters;
use crate::posterior::{DiagonalLaplace, FullLaplace, Posterior, Ridge};
use crate::saved_state::{StateHeader, check_header, header_reader};
use crate::validate::check_part;

header_reader!("delta/");

/// Prefix before the posterior's name in the type of a saved delta, if all arms share the weights.
const SHARED: &str = "shared/";

/// Evidence of each arm learned since an earlier snapshot. It also lists the removed arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WeightsDelta {
    #[serde(deserialize_with = "read_header")]
    pub(crate) header: StateHeader,
    pub(in crate::policy) dimension: usize,
    pub(in crate::policy) prior: f64,
    // Evidence of each arm, in ascending order of arms; each arm occurs once.
    pub(in crate::policy) arms: Vec<(ArmId, NaturalParameters)>,
    pub(in crate::policy) updates: u64,
    #[serde(default)]
    pub(in crate::policy) prior_mean: f64,
    #[serde(default)]
    pub(in crate::policy) removed: ArmRanges,
    // Arms that may no longer be candidates, if all arms share the weights. The weights themselves are then stored as
    // those of the single arm 0.
    #[serde(default)]
    pub(in crate::policy) removed_candidates: ArmRanges,
}

impl WeightsDelta {
    pub(crate) fn arms(&self) -> impl Iterator<Item = ArmId> + '_ {
        self.arms.iter().map(|(arm, _)| *arm)
    }

    /// Number of updates from which the evidence was learned.
    pub(crate) fn updates(&self) -> u64 {
        self.updates
    }

    /// Adds the evidence that another worker learned, to this delta, and removes the arms that the worker has removed.
    ///
    /// # Errors
    /// Fails if the deltas differ in their kind of policy, dimension or prior. Also fails if the contents of a delta
    /// cannot come from `Disjoint::diff`, such as an arm listed twice or a precision of the wrong length, or if a sum
    /// overflows. After an error this delta is unchanged.
    pub(crate) fn combine(&mut self, other: &Self) -> Result<()> {
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
        sum.removed_candidates.unite(&other.removed_candidates);
        sum.arms.retain(|(arm, _)| !sum.removed.contains(*arm));
        sum.updates = add_counts("updates of delta", self.updates, other.updates)?;
        *self = sum;
        Ok(())
    }

    /// Fails if two deltas differ in the length of contexts or in the prior.
    pub(in crate::policy) fn check_compatible(&self, other: &Self) -> Result<()> {
        check_equal("dimension", self.dimension as f64, other.dimension as f64)?;
        check_equal("prior precision", self.prior, other.prior)?;
        check_equal("prior mean", self.prior_mean, other.prior_mean)
    }

    /// Number of values that store the precision of one arm.
    fn precision_length(&self) -> Result<usize> {
        let d = self.dimension;
        let posterior = self.header.kind.strip_prefix("delta/");
        match posterior.map(|posterior| posterior.strip_prefix(SHARED).unwrap_or(posterior)) {
            Some(<Ridge as Posterior>::NAME | <FullLaplace as Posterior>::NAME) => {
                // No dimension that fits into memory has a triangle that overflows.
                Ok(d.checked_add(1).and_then(|above| d.checked_mul(above)).map_or(usize::MAX, |square| square / 2))
            }
            Some(<DiagonalLaplace as Posterior>::NAME) => Ok(d),
            _ => Err(Error::ForeignState { expected: "delta".to_owned(), found: self.header.kind.clone() }),
        }
    }

    /// Fails for a delta that cannot come from `Disjoint::diff`.
    pub(in crate::policy) fn check(&self) -> Result<()> {
        let length = self.precision_length()?;
        check_removed(&self.removed)?;
        check_removed(&self.removed_candidates)?;
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

    /// Marks the weights in this delta as shared by all arms. `removed_candidates` are arms that were removed from the
    /// candidates.
    pub(crate) fn into_shared(mut self, removed_candidates: ArmRanges) -> Self {
        self.removed_candidates = removed_candidates;
        let posterior = self.header.kind.strip_prefix("delta/").unwrap_or_default();
        self.header = StateHeader::new(format!("delta/{SHARED}{posterior}"));
        self
    }

    /// Converts a delta of shared weights to the delta of a policy with a single arm.
    ///
    /// # Errors
    /// Fails if the delta came from a policy whose arms have separate weights.
    pub(crate) fn to_single_arm(&self, posterior: &str) -> Result<Self> {
        check_header(&self.header, &format!("delta/{SHARED}{posterior}"))?;
        Ok(Self { header: StateHeader::new(format!("delta/{posterior}")), ..self.clone() })
    }
}

fn check_equal(what: &'static str, ours: f64, theirs: f64) -> Result<()> {
    if ours == theirs { Ok(()) } else { Err(Error::Unlike { what, ours, theirs }) }
}
