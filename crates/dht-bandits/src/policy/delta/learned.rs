//! Deltas: evidence that one worker learned, which can be sent to other workers and merged into their policies.

use serde::{Deserialize, Serialize};

use super::alike::{check_alike, check_scaling};
use super::hybrid::HybridDelta;
use super::weights::WeightsDelta;
use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::policy::PolicySettings;
use crate::policy::normalised::Scaling;

/// Difference between a policy and an earlier snapshot of it, as the policy's `diff` method returns it. It contains the
/// evidence of each arm, without the prior, and the removed arms. It can be serialised and sent to another machine.
///
/// Deltas can be added ([`combine`](Self::combine)) in any order and grouping, up to rounding. An arm that one delta
/// has removed is removed in the sum, whatever other deltas have learned about the arm. All contents are checked when a
/// delta is combined or applied.
///
/// ```
/// use dht_bandits::{ArmId, LinUcb, Policy, Ridge, Ucb};
///
/// let start = LinUcb::new(1, 2, Ridge::default(), Ucb { alpha: 0.5 })?;
/// let (mut first, mut second) = (start.clone(), start.clone());
/// first.update(ArmId::new(0), &[1.0], 1.0, 1.0)?;
/// second.update(ArmId::new(1), &[1.0], 0.0, 1.0)?;
/// let mut delta = first.diff(&start)?;
/// delta.combine(&second.diff(&start)?)?;
/// let mut merged = start.clone();
/// merged.apply(&delta)?;
/// assert_eq!((delta.updates(), merged.version()), (2, 2));
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delta {
    pub(in crate::policy) learned: DeltaEvidence,
    /// Settings of the policy, if it is an [`AnyPolicy`](crate::policy::AnyPolicy).
    pub(in crate::policy) settings: Option<PolicySettings>,
    /// Scaling of contexts in which the evidence was learned.
    pub(in crate::policy) scaling: Option<Scaling>,
}

/// Evidence in a delta, by type of policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DeltaEvidence {
    Weights(WeightsDelta),
    Hybrid(HybridDelta),
}

impl From<DeltaEvidence> for Delta {
    fn from(learned: DeltaEvidence) -> Self {
        Self { learned, settings: None, scaling: None }
    }
}

impl Delta {
    /// Arms with evidence in the delta, in ascending order. If all arms share their weights, the only entry is arm 0.
    pub fn arms(&self) -> impl Iterator<Item = ArmId> + '_ {
        let (weights, hybrid) = match &self.learned {
            DeltaEvidence::Weights(delta) => (Some(delta), None),
            DeltaEvidence::Hybrid(delta) => (None, Some(delta)),
        };
        weights.into_iter().flat_map(WeightsDelta::arms).chain(hybrid.into_iter().flat_map(HybridDelta::arms))
    }

    /// Number of updates from which the evidence was learned.
    pub fn updates(&self) -> u64 {
        match &self.learned {
            DeltaEvidence::Weights(delta) => delta.updates(),
            DeltaEvidence::Hybrid(delta) => delta.updates(),
        }
    }

    /// Adds the evidence that another worker learned, to this delta, and removes the arms that the worker has removed.
    ///
    /// # Errors
    /// Fails if the deltas differ in their kind of policy, lengths, priors, settings or scaling. Also fails if the
    /// contents of a delta cannot come from a `diff`, such as an arm listed twice or a precision of the wrong length,
    /// or if a sum overflows. For [`Hybrid`](crate::policy::Hybrid) policies, [`Error::RemovedArm`] if one delta has
    /// removed an arm for which the other has evidence: apply the delta with the evidence first. After an error this
    /// delta is unchanged.
    pub fn combine(&mut self, other: &Self) -> Result<()> {
        match (&self.settings, &other.settings) {
            (Some(ours), Some(theirs)) => check_alike(ours, theirs)?,
            (None, None) => {}
            _ => return Err(self.foreign(other.name())),
        }
        check_scaling(self.scaling.as_ref(), other.scaling.as_ref())?;
        let foreign = self.foreign(other.name());
        match (&mut self.learned, &other.learned) {
            (DeltaEvidence::Weights(ours), DeltaEvidence::Weights(theirs)) => ours.combine(theirs),
            (DeltaEvidence::Hybrid(ours), DeltaEvidence::Hybrid(theirs)) => ours.combine(theirs),
            _ => Err(foreign),
        }
    }

    /// Evidence of the delta, for policies other than `AnyPolicy`.
    ///
    /// # Errors
    /// Fails if the delta came from an `AnyPolicy`.
    pub(in crate::policy) fn plain(&self) -> Result<&DeltaEvidence> {
        match self.settings {
            None => Ok(&self.learned),
            Some(_) => Err(Error::ForeignState { expected: "delta".to_owned(), found: self.name().to_owned() }),
        }
    }

    fn name(&self) -> &str {
        match (&self.settings, &self.learned) {
            (Some(_), _) => "any-policy/delta",
            (None, learned) => learned.name(),
        }
    }

    fn foreign(&self, found: &str) -> Error {
        Error::ForeignState { expected: self.name().to_owned(), found: found.to_owned() }
    }
}

impl DeltaEvidence {
    fn name(&self) -> &str {
        match self {
            Self::Weights(delta) => &delta.header.kind,
            Self::Hybrid(delta) => &delta.header.kind,
        }
    }

    /// Evidence of a policy whose weights are separate for each arm or shared by all arms.
    ///
    /// # Errors
    /// Fails if the delta came from a hybrid policy.
    pub(crate) fn weights(&self) -> Result<&WeightsDelta> {
        match self {
            Self::Weights(delta) => Ok(delta),
            Self::Hybrid(_) => Err(Error::ForeignState { expected: "delta".to_owned(), found: self.name().to_owned() }),
        }
    }

    /// Evidence of a hybrid policy, which has both shared weights and weights of each arm.
    ///
    /// # Errors
    /// Fails if the delta came from another kind of policy.
    pub(crate) fn hybrid(&self) -> Result<&HybridDelta> {
        match self {
            Self::Hybrid(delta) => Ok(delta),
            Self::Weights(_) => {
                Err(Error::ForeignState { expected: "hybrid-delta".to_owned(), found: self.name().to_owned() })
            }
        }
    }
}
