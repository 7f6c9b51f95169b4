//! Merging of policies that different workers trained with the same settings.

use super::named_policy::NamedPolicy;
use super::policy::AnyPolicy;
use super::wrapped::Wrapped;
use crate::error::{Error, Result};
use crate::policy::delta::{Delta, check_alike, check_scaling};
use crate::policy::normalised::Scaling;

fn refused(problem: &str) -> Error {
    Error::Settings { problem: problem.to_owned() }
}

fn no_merging() -> Error {
    refused(
        "kind: only linear without clock, window and reset, logistic, hybrid, top-k and shared kinds can be merged: \
         the evidence of other kinds does not add up",
    )
}

/// Evaluates an expression for one policy, or for two of the same type, if evidence of this policy type can be added
/// up. Returns an error for other types.
macro_rules! adding {
    ($left:expr, $right:expr, ($ours:ident, $theirs:ident) => $then:expr) => {
        adding!(@ ($left, $right), $ours $theirs $then, Linear Logistic DiagonalLogistic Hybrid TopKLinear
            TopKDiagonalLogistic SharedLinear SharedLogistic SharedDiagonalLogistic)
    };
    (@ $pair:expr, $ours:ident $theirs:ident $then:expr, $($kind:ident)*) => {
        match $pair {
            $((NamedPolicy::$kind($ours), NamedPolicy::$kind($theirs)) => $then,)*
            _ => Err(no_merging()),
        }
    };
    ($policy:expr, $ours:ident => $then:expr) => {
        adding!(@ $policy, $ours $then, Linear Logistic DiagonalLogistic Hybrid TopKLinear
            TopKDiagonalLogistic SharedLinear SharedLogistic SharedDiagonalLogistic)
    };
    (@ $policy:expr, $ours:ident $then:expr, $($kind:ident)*) => {
        match $policy {
            $(NamedPolicy::$kind($ours) => $then,)*
            _ => Err(no_merging()),
        }
    };
}

impl AnyPolicy {
    pub(super) fn kind(&self) -> &NamedPolicy {
        match &self.policy {
            Wrapped::Plain(kind) => kind,
            Wrapped::Normalised(policy) => policy.inner(),
        }
    }

    /// Returns the scaling of contexts and rewards, if any.
    ///
    /// # Errors
    /// Fails if the scaling is still provisional, before the end of the warm-up.
    fn scaling(&self) -> Result<Option<&Scaling>> {
        match &self.policy {
            Wrapped::Plain(_) => Ok(None),
            Wrapped::Normalised(policy) if policy.is_settled() => Ok(Some(policy.scaling())),
            Wrapped::Normalised(policy) if policy.normalizer().is_frozen() => Err(refused(
                "normaliser: expected a frozen scaling to merge, but all rewards so far are equal, so that their scale \
                 is not set",
            )),
            Wrapped::Normalised(_) => {
                Err(refused("normaliser: expected a frozen scaling to merge, but this policy is still in its warm-up"))
            }
        }
    }

    /// Computes the evidence that this policy has learned since `earlier`, a clone that was made of this policy before,
    /// as [`Disjoint::diff`](crate::policy::Disjoint::diff) does.
    ///
    /// # Errors
    /// [`Error::Settings`] if evidence of this `kind` cannot be added, if the settings differ in more than arms,
    /// exploration and seed, or if the scalings of contexts differ or are still provisional. Also fails as the `diff`
    /// of the policy's type does, for example if evidence decays.
    pub fn diff(&self, earlier: &Self) -> Result<Delta> {
        check_alike(&self.settings, &earlier.settings)?;
        self.kind().check_copy()?;
        let delta = adding!(self.kind(), earlier.kind(), (now, then) => now.diff(then))?;
        let scaling = self.scaling()?;
        check_scaling(scaling, earlier.scaling()?)?;
        Ok(Delta { settings: Some(self.settings.clone()), scaling: scaling.cloned(), ..delta })
    }

    /// Adds the evidence that another worker has learned since a common ancestor, as
    /// [`Disjoint::apply`](crate::policy::Disjoint::apply) does.
    ///
    /// # Errors
    /// [`Error::Settings`] if the delta has other settings or another scaling of contexts. Also fails as the `apply` of
    /// the policy's type does. After an error the policy is unchanged.
    pub fn apply(&mut self, delta: &Delta) -> Result<()> {
        let Some(settings) = &delta.settings else {
            return Err(refused("settings: expected a delta of an AnyPolicy"));
        };
        check_alike(&self.settings, settings)?;
        check_scaling(self.scaling()?, delta.scaling.as_ref())?;
        adding!(self.kind_mut(), ours => ours.apply_evidence(&delta.learned))?;
        self.refresh(usize::MAX);
        Ok(())
    }

    /// Adds the evidence of `other`, as if this policy had observed it: the prior counts once. Both policies must have
    /// started from the prior. Workers that started from a common ancestor must merge their [`diff`](Self::diff)s since
    /// that ancestor instead.
    ///
    /// # Errors
    /// [`Error::Settings`] in the cases of [`diff`](Self::diff), and if the policies scale their contexts. Such
    /// policies have equal scalings only if they are copies of one policy that had already learned, and its evidence
    /// would count twice. Also fails as the `merge` of the policy's type does. After an error the policy is unchanged.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        check_alike(&self.settings, &other.settings)?;
        if self.settings.normaliser.is_some() {
            return Err(refused(
                "normaliser: policies with a scaling cannot be merged: use diff and apply, from a snapshot after the \
                 scaling was frozen",
            ));
        }
        adding!(self.kind_mut(), other.kind(), (ours, theirs) => ours.merge(theirs))?;
        self.refresh(usize::MAX);
        Ok(())
    }
}
