//! Deltas of hybrid policies: evidence learned since an earlier snapshot, for shared weights and weights of each arm.

use serde::{Deserialize, Serialize};

use crate::arm::ArmId;
use crate::arm_set::{ArmRanges, check_number, check_removed};
use crate::clock::{add_counts, check_saved_count};
use crate::error::{Error, Result};
use crate::gaussian::NaturalParameters;
use crate::saved_state::{StateHeader, check_header, header_reader};
use crate::validate::check_part;

header_reader!("hybrid-delta");

/// Evidence of one arm in a hybrid policy. It consists of the precision without the prior, A_a − λI, the moment b_a,
/// and the cross terms B_a (row-major), in the notation of Li et al. (2010), Algorithm 2.
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

    pub(in crate::policy) fn is_zero(&self) -> bool {
        let NaturalParameters { precision, moment, updates } = &self.own;
        *updates == 0 && precision.iter().chain(moment).chain(&self.cross).all(|value| *value == 0.0)
    }
}

/// Returns natural parameters without evidence, for `dimension` weights.
pub(in crate::policy) fn zero(dimension: usize) -> NaturalParameters {
    NaturalParameters::zero(dimension * (dimension + 1) / 2, dimension)
}

/// Evidence that a hybrid policy has learned since an earlier snapshot, without the prior. It also lists the removed
/// arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HybridDelta {
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
    /// Fails if `other` has other lengths or priors or cannot come from `Hybrid::diff`, or if a sum overflows.
    /// [`Error::RemovedArm`] if one delta has removed an arm for which the other has evidence: apply the delta with the
    /// evidence first. A removed arm for which neither delta has evidence is dropped. After an error this delta is
    /// unchanged.
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

    /// Fails for a delta that cannot come from `Hybrid::diff`.
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
