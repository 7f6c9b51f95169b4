//! Merging of workers with the same policy settings.

use super::PolicySettings;
use super::named_policy::NamedPolicy;
use super::policy::{AnyPolicy, Wrapped};
use crate::error::{Error, Result};
use crate::policy::normalised::Scaling;
use crate::policy::{Delta, HybridDelta};
use serde::{Deserialize, Serialize};

/// Difference between an [`AnyPolicy`] and an earlier snapshot of it, from [`AnyPolicy::diff`]: the evidence learned
/// since, and the removed arms. It can be sent to another machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnyDelta {
    settings: PolicySettings,
    /// Scaling in which the evidence was learned.
    scaling: Option<Scaling>,
    learned: Learned,
}

/// Difference, by the way in which arms share weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Learned {
    Weights(Delta),
    Hybrid(HybridDelta),
}

fn refused(problem: &str) -> Error {
    Error::Settings { problem: problem.to_owned() }
}

fn no_merging() -> Error {
    refused(
        "kind: expected linear without clock, window and reset, a logistic, hybrid, top-k or shared one to merge: what \
         others learn does not add",
    )
}

/// Kinds with additive evidence, and the type of their differences.
macro_rules! adding {
    ($then:ident, $left:expr, $right:expr) => {
        $then!(
            $left, $right, Linear => Weights, Logistic => Weights, DiagonalLogistic => Weights, Hybrid => Hybrid,
            TopKLinear => Weights, TopKDiagonalLogistic => Weights, SharedLinear => Weights, SharedLogistic => Weights,
            SharedDiagonalLogistic => Weights
        )
    };
}

macro_rules! diff {
    ($now:expr, $then:expr, $($kind:ident => $learned:ident),*) => {
        match ($now, $then) {
            $((NamedPolicy::$kind(now), NamedPolicy::$kind(then)) => now.diff(then).map(Learned::$learned),)*
            _ => Err(no_merging()),
        }
    };
}

macro_rules! apply {
    ($policy:expr, $delta:expr, $($kind:ident => $learned:ident),*) => {
        match ($policy, $delta) {
            $((NamedPolicy::$kind(policy), Learned::$learned(delta)) => policy.apply(delta),)*
            _ => Err(no_merging()),
        }
    };
}

macro_rules! merge {
    ($ours:expr, $theirs:expr, $($kind:ident => $learned:ident),*) => {
        match ($ours, $theirs) {
            $((NamedPolicy::$kind(ours), NamedPolicy::$kind(theirs)) => ours.merge(theirs),)*
            _ => Err(no_merging()),
        }
    };
}

/// Refuses settings under which evidence has another meaning. Arms, exploration and seed may differ between workers.
fn check_alike(ours: &PolicySettings, theirs: &PolicySettings) -> Result<()> {
    macro_rules! same {
        ($($key:ident),*) => {
            $(if ours.$key != theirs.$key {
                let (key, ours, theirs) = (stringify!($key), &ours.$key, &theirs.$key);
                let problem = format!("{key}: {ours:?} here and {theirs:?} there, expected the same to merge");
                return Err(Error::Settings { problem });
            })*
        };
    }
    same!(
        kind,
        dimension,
        features,
        prior_precision,
        shared_prior_precision,
        decay,
        clock,
        window,
        reset,
        normaliser,
        interactions
    );
    Ok(())
}

/// Refuses contexts in another scaling.
fn check_scaling(ours: Option<&Scaling>, theirs: Option<&Scaling>) -> Result<()> {
    if ours == theirs {
        return Ok(());
    }
    Err(refused("normaliser: the scalings differ, expected policies that parted after theirs was frozen"))
}

impl AnyDelta {
    /// Number of updates in the delta.
    pub fn updates(&self) -> u64 {
        match &self.learned {
            Learned::Weights(delta) => delta.updates(),
            Learned::Hybrid(delta) => delta.updates(),
        }
    }

    /// Adds the evidence of another worker, and removes the arms that it has removed.
    ///
    /// # Errors
    /// [`Error::Settings`]: a delta of other settings or another scaling; errors of [`Delta::combine`] and
    /// [`HybridDelta::combine`]. The delta is unchanged then.
    pub fn combine(&mut self, other: &Self) -> Result<()> {
        check_alike(&self.settings, &other.settings)?;
        check_scaling(self.scaling.as_ref(), other.scaling.as_ref())?;
        match (&mut self.learned, &other.learned) {
            (Learned::Weights(ours), Learned::Weights(theirs)) => ours.combine(theirs),
            (Learned::Hybrid(ours), Learned::Hybrid(theirs)) => ours.combine(theirs),
            _ => Err(no_merging()),
        }
    }
}

impl AnyPolicy {
    pub(super) fn kind(&self) -> &NamedPolicy {
        match &self.policy {
            Wrapped::Plain(kind) => kind,
            Wrapped::Normalised(policy) => policy.inner(),
        }
    }

    /// Returns the scaling, which must be frozen.
    fn scaling(&self) -> Result<Option<&Scaling>> {
        match &self.policy {
            Wrapped::Plain(_) => Ok(None),
            Wrapped::Normalised(policy) if policy.normalizer().is_frozen() => Ok(Some(policy.scaling())),
            Wrapped::Normalised(_) => Err(refused("normaliser: expected a frozen scaling to merge, this one warms up")),
        }
    }

    /// Difference to `earlier`, a snapshot (clone) of this policy, as in
    /// [`Disjoint::diff`](crate::policy::Disjoint::diff).
    ///
    /// # Errors
    /// [`Error::Settings`]: a kind without additive evidence; other settings (except arms, exploration and seed); a
    /// scaling that differs or is not frozen. Errors of the `diff` of the kind, such as evidence that decays.
    pub fn diff(&self, earlier: &Self) -> Result<AnyDelta> {
        check_alike(&self.settings, &earlier.settings)?;
        self.kind().check_copy()?;
        let learned = adding!(diff, self.kind(), earlier.kind())?;
        let scaling = self.scaling()?;
        check_scaling(scaling, earlier.scaling()?)?;
        Ok(AnyDelta { settings: self.settings.clone(), scaling: scaling.cloned(), learned })
    }

    /// Adds the evidence of another worker since their common ancestor, as
    /// [`Disjoint::apply`](crate::policy::Disjoint::apply) does.
    ///
    /// # Errors
    /// [`Error::Settings`]: a delta of other settings or another scaling; errors of the `apply` of the kind. The policy
    /// is unchanged then.
    pub fn apply(&mut self, delta: &AnyDelta) -> Result<()> {
        check_alike(&self.settings, &delta.settings)?;
        check_scaling(self.scaling()?, delta.scaling.as_ref())?;
        adding!(apply, self.kind_mut(), &delta.learned)
    }

    /// Learns the evidence of `other`, as if this policy had seen it: the prior is counted once. Both must have started
    /// from the prior; workers that started from a common ancestor merge [`diff`](Self::diff)s since it.
    ///
    /// # Errors
    /// [`Error::Settings`]: as in [`diff`](Self::diff); policies with a scaling, since its common ancestor had learned
    /// the warm-up. Errors of the `merge` of the kind. The policy is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        check_alike(&self.settings, &other.settings)?;
        if self.settings.normaliser.is_some() {
            return Err(refused(
                "normaliser: expected none, or what was learned since the scaling was frozen (diff, apply)",
            ));
        }
        adding!(merge, self.kind_mut(), other.kind())
    }
}
