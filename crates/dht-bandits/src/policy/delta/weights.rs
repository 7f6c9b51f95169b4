//! Evidence of weights that are separate for each arm, or shared by all.

use crate::arm::ArmId;
use crate::arm_set::{ArmRanges, check_number, check_removed};
use crate::clock::{add_counts, check_saved_count};
use crate::error::{Error, Result};
use crate::gaussian::NaturalParameters;
use crate::posterior::{DiagonalLaplace, FullLaplace, Posterior, Ridge};
use crate::saved_state::{StateHeader, check_header, header_reader};
use crate::validate::check_part;
use serde::{Deserialize, Serialize};

header_reader!("delta/");

/// Prefix of the posterior's name in the kind of a delta whose weights all arms share.
const SHARED: &str = "shared/";

/// Evidence of each arm since an earlier snapshot, and the removed arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WeightsDelta {
    /// Kind and format of the delta.
    #[serde(deserialize_with = "read_header")]
    pub(crate) header: StateHeader,
    pub(in crate::policy) dimension: usize,
    pub(in crate::policy) prior: f64,
    // Each arm once, in ascending order.
    pub(in crate::policy) arms: Vec<(ArmId, NaturalParameters)>,
    pub(in crate::policy) updates: u64,
    #[serde(default)]
    pub(in crate::policy) prior_mean: f64,
    #[serde(default)]
    pub(in crate::policy) removed: ArmRanges,
    // With weights that all arms share, the arms that may no longer be candidates: the single arm 0 above stands for
    // the weights.
    #[serde(default)]
    pub(in crate::policy) removed_candidates: ArmRanges,
}

impl WeightsDelta {
    /// Arms with new evidence.
    pub(crate) fn arms(&self) -> impl Iterator<Item = ArmId> + '_ {
        self.arms.iter().map(|(arm, _)| *arm)
    }

    /// Number of updates in the delta.
    pub(crate) fn updates(&self) -> u64 {
        self.updates
    }

    /// Adds the evidence of another worker, and removes the arms that it has removed.
    ///
    /// # Errors
    /// A delta of another kind of policy, dimension or prior; contents that cannot come from `Disjoint::diff`,
    /// such as an arm listed twice or a precision of the wrong length; sums that overflow. The delta is unchanged then.
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

    /// Refuses a delta of another dimension or prior.
    pub(in crate::policy) fn check_compatible(&self, other: &Self) -> Result<()> {
        check_equal("dimension", self.dimension as f64, other.dimension as f64)?;
        check_equal("prior precision", self.prior, other.prior)?;
        check_equal("prior mean", self.prior_mean, other.prior_mean)
    }

    /// Length of an arm's precision.
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

    /// Refuses contents that cannot come from `Disjoint::diff`.
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

    /// Converts to the delta of weights that all arms share, without these arms.
    pub(crate) fn into_shared(mut self, removed_candidates: ArmRanges) -> Self {
        self.removed_candidates = removed_candidates;
        let posterior = self.header.kind.strip_prefix("delta/").unwrap_or_default();
        self.header = StateHeader::new(format!("delta/{SHARED}{posterior}"));
        self
    }

    /// Converts a delta of weights that all arms share to the delta of a policy with one arm.
    ///
    /// # Errors
    /// A delta of a policy whose arms have separate weights.
    pub(crate) fn to_single_arm(&self, posterior: &str) -> Result<Self> {
        check_header(&self.header, &format!("delta/{SHARED}{posterior}"))?;
        Ok(Self { header: StateHeader::new(format!("delta/{posterior}")), ..self.clone() })
    }
}

fn check_equal(what: &'static str, ours: f64, theirs: f64) -> Result<()> {
    if ours == theirs { Ok(()) } else { Err(Error::Unlike { what, ours, theirs }) }
}
