//! Workers of one policy, merged.

use super::kind::Kind;
use super::{AnyPolicy, PolicySettings, Wrapped};
use crate::error::{Error, Result};
use crate::policy::normalised::Scaling;
use crate::policy::{Delta, HybridDelta};
use serde::{Deserialize, Serialize};

/// What an [`AnyPolicy`] has learned since an earlier snapshot of it, and which arms were removed: [`AnyPolicy::diff`]. To be
/// sent to another machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnyDelta {
    settings: PolicySettings,
    /// The scaling in which it was learned.
    scaling: Option<Scaling>,
    learned: Learned,
}

/// The difference, by how weights are shared.
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

/// The kinds whose evidence adds, and what their differences are.
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
            $((Kind::$kind(now), Kind::$kind(then)) => now.diff(then).map(Learned::$learned),)*
            _ => Err(no_merging()),
        }
    };
}

macro_rules! apply {
    ($policy:expr, $delta:expr, $($kind:ident => $learned:ident),*) => {
        match ($policy, $delta) {
            $((Kind::$kind(policy), Learned::$learned(delta)) => policy.apply(delta),)*
            _ => Err(no_merging()),
        }
    };
}

macro_rules! merge {
    ($ours:expr, $theirs:expr, $($kind:ident => $learned:ident),*) => {
        match ($ours, $theirs) {
            $((Kind::$kind(ours), Kind::$kind(theirs)) => ours.merge(theirs),)*
            _ => Err(no_merging()),
        }
    };
}

/// Refuses settings under which evidence means something else. Arms come and go, and how a worker explores, and with which
/// seed, is its own affair.
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
    /// The number of updates it sums up.
    pub fn updates(&self) -> u64 {
        match &self.learned {
            Learned::Weights(delta) => delta.updates(),
            Learned::Hybrid(delta) => delta.updates(),
        }
    }

    /// Adds what another worker has learned, and removes what it has removed.
    ///
    /// # Errors
    /// [`Error::Settings`]: a delta of other settings or another scaling; as [`Delta::combine`] and
    /// [`HybridDelta::combine`]. This one is unchanged then.
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
    pub(super) fn kind(&self) -> &Kind {
        match &self.policy {
            Wrapped::Plain(kind) => kind,
            Wrapped::Normalised(policy) => policy.inner(),
        }
    }

    /// The scaling, which must be frozen.
    fn scaling(&self) -> Result<Option<&Scaling>> {
        match &self.policy {
            Wrapped::Plain(_) => Ok(None),
            Wrapped::Normalised(policy) if policy.normalizer().is_frozen() => Ok(Some(policy.scaling())),
            Wrapped::Normalised(_) => Err(refused("normaliser: expected a frozen scaling to merge, this one warms up")),
        }
    }

    /// What this policy has learned since `earlier`, a snapshot (clone) of it, as [`Disjoint::diff`](crate::policy::Disjoint::diff).
    ///
    /// # Errors
    /// [`Error::Settings`]: a kind whose evidence does not add, other settings (but for arms, exploration and seed), a
    /// scaling that is not frozen or another; as the `diff` of the kind, such as evidence that decays.
    pub fn diff(&self, earlier: &Self) -> Result<AnyDelta> {
        check_alike(&self.settings, &earlier.settings)?;
        self.kind().check_copy()?;
        let learned = adding!(diff, self.kind(), earlier.kind())?;
        let scaling = self.scaling()?;
        check_scaling(scaling, earlier.scaling()?)?;
        Ok(AnyDelta { settings: self.settings.clone(), scaling: scaling.cloned(), learned })
    }

    /// Adds what another worker has learned since both were one, as [`Disjoint::apply`](crate::policy::Disjoint::apply).
    ///
    /// # Errors
    /// [`Error::Settings`]: a delta of other settings or another scaling; as the `apply` of the kind. The policy is unchanged
    /// then.
    pub fn apply(&mut self, delta: &AnyDelta) -> Result<()> {
        check_alike(&self.settings, &delta.settings)?;
        check_scaling(self.scaling()?, delta.scaling.as_ref())?;
        adding!(apply, self.kind_mut(), &delta.learned)
    }

    /// Learns all that `other` has learned, as if this policy had seen it: the prior is counted once. Both must have started
    /// from the prior; workers that started from a common ancestor merge [`diff`](Self::diff)s since it.
    ///
    /// # Errors
    /// [`Error::Settings`]: as [`diff`](Self::diff), and policies with a scaling, which have it from a common ancestor that had
    /// learned its warm-up. As the `merge` of the kind. The policy is unchanged then.
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
