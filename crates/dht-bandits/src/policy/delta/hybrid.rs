//! Evidence that a hybrid policy has learned since an earlier snapshot.

use serde::{Deserialize, Serialize};

use crate::arm::ArmId;
use crate::arm_set::{ArmRanges, check_number, check_removed};
use crate::clock::{add_counts, check_saved_count};
use crate::error::{Error, Result};
use crate::gaussian::NaturalParameters;
use crate::saved_state::{StateHeader, check_header, header_reader};
use crate::validate::check_part;

header_reader!("hybrid-delta");

/// Evidence of one arm. Li et al. (2010), Algorithm 2, define the symbols: A_a − λI, b_a, and B_a, row-major.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct OwnEvidence {
    pub(in crate::policy) own: NaturalParameters,
    pub(in crate::policy) cross: Vec<f64>,
}

impl OwnEvidence {
    pub(in crate::policy) fn zero(d: usize, k: usize) -> Self {
        Self { own: zero(d), cross: vec![0.0; d * k] }
    }

    pub(in crate::policy) fn plus(&self, factor: f64, other: &Self) -> Result<Self> {
        let cross = self.cross.iter().zip(&other.cross).map(|(a, b)| a + factor * b).collect();
        Ok(Self { own: self.own.plus(factor, &other.own)?, cross })
    }

    /// Returns whether there is no evidence.
    pub(in crate::policy) fn is_zero(&self) -> bool {
        let NaturalParameters { precision, moment, updates } = &self.own;
        *updates == 0 && precision.iter().chain(moment).chain(&self.cross).all(|value| *value == 0.0)
    }
}

/// Returns the natural parameters of zero evidence for weights of a dimension.
pub(in crate::policy) fn zero(dimension: usize) -> NaturalParameters {
    NaturalParameters::zero(dimension * (dimension + 1) / 2, dimension)
}

/// Evidence that a hybrid policy has learned since an earlier snapshot, without the prior, and the arms that were
/// removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HybridDelta {
    /// Header of the delta: the kind of policy and the version of the format.
    #[serde(deserialize_with = "read_header")]
    pub(crate) header: StateHeader,
    pub(in crate::policy) dimension: usize,
    pub(in crate::policy) shared_dimension: usize,
    pub(in crate::policy) prior: (f64, f64),
    // Evidence of each arm, in ascending order of arms; each arm occurs once.
    pub(in crate::policy) arms: Vec<(ArmId, OwnEvidence)>,
    pub(in crate::policy) shared: NaturalParameters,
    pub(in crate::policy) updates: u64,
    pub(in crate::policy) removed: ArmRanges,
}

impl HybridDelta {
    /// Arms with evidence in the delta.
    pub(crate) fn arms(&self) -> impl Iterator<Item = ArmId> + '_ {
        self.arms.iter().map(|(arm, _)| *arm)
    }

    /// Number of updates that the delta contains.
    pub(crate) fn updates(&self) -> u64 {
        self.updates
    }

    /// Adds the evidence that another worker learned, and removes the arms that the worker has removed.
    ///
    /// # Errors
    /// Fails if the delta has other lengths or priors, cannot come from `Hybrid::diff`, or if a sum overflows.
    /// [`Error::RemovedArm`] if one delta has removed an arm for which the other has evidence: apply the delta with the
    /// evidence first. The delta is unchanged then. A removed arm for which neither delta has evidence is dropped.
    pub(crate) fn combine(&mut self, other: &Self) -> Result<()> {
        self.check_compatible(other)?;
        self.check()?;
        other.check()?;
        let mut sum = self.clone();
        sum.removed.unite(&other.removed);
        let learned =
            self.arms.iter().chain(&other.arms).find(|(arm, seen)| sum.removed.contains(*arm) && !seen.is_zero());
        if let Some((arm, _)) = learned {
            return Err(Error::RemovedArm { arm: *arm });
        }
        for (arm, theirs) in &other.arms {
            match sum.arms.binary_search_by_key(arm, |(id, _)| *id) {
                Ok(position) => sum.arms[position].1 = sum.arms[position].1.plus(1.0, theirs)?,
                Err(position) => sum.arms.insert(position, (*arm, theirs.clone())),
            }
        }
        sum.arms.retain(|(arm, _)| !sum.removed.contains(*arm));
        sum.shared = sum.shared.plus(1.0, &other.shared)?;
        sum.updates = add_counts("updates of delta", self.updates, other.updates)?;
        *self = sum;
        Ok(())
    }

    pub(in crate::policy) fn check_compatible(&self, other: &Self) -> Result<()> {
        check_header(&other.header, &self.header.kind)?;
        for (what, ours, theirs) in [
            ("dimension", self.dimension as f64, other.dimension as f64),
            ("shared dimension", self.shared_dimension as f64, other.shared_dimension as f64),
            ("prior precision", self.prior.0, other.prior.0),
            ("shared prior precision", self.prior.1, other.prior.1),
        ] {
            if ours != theirs {
                return Err(Error::Unlike { what, ours, theirs });
            }
        }
        Ok(())
    }

    /// Refuses a delta that cannot come from `Hybrid::diff`.
    pub(in crate::policy) fn check(&self) -> Result<()> {
        let triangle = |d: usize| d.checked_add(1).and_then(|above| d.checked_mul(above)).map_or(usize::MAX, |s| s / 2);
        let (d, k) = (self.dimension, self.shared_dimension);
        check_removed(&self.removed)?;
        check_saved_count("updates of delta", 0, self.updates)?;
        let mut before = None;
        for (index, (arm, evidence)) in self.arms.iter().enumerate() {
            check_number(*arm)?;
            if before >= Some(*arm) || self.removed.contains(*arm) {
                let problem = format!("{arm} is removed, or not in ascending order");
                return Err(Error::InvalidState { what: "arm of delta", index, problem });
            }
            before = Some(*arm);
            check_part("precision of delta", index, &evidence.own.precision, triangle(d), false)?;
            check_part("moment of delta", index, &evidence.own.moment, d, false)?;
            check_part("cross terms of delta", index, &evidence.cross, d.saturating_mul(k), false)?;
            check_saved_count("updates of arm of delta", index, evidence.own.updates)?;
        }
        check_part("shared precision of delta", 0, &self.shared.precision, triangle(k), false)?;
        check_part("shared moment of delta", 0, &self.shared.moment, k, false)?;
        check_saved_count("updates of the shared weights of delta", 0, self.shared.updates)
    }
}
