//! Operations beyond [`Policy`] that a policy created from settings needs, implemented for each type of policy.

use std::any::Any;

use super::AnyRule;
use super::rule::FlooredRule;
use crate::error::{Error, Result};
use crate::features::Interactions;
use crate::policy::{BetaThompson, ContextFree, Disjoint, Hybrid, Policy, TopK, Ucb1, Uniform};
use crate::policy::{ResetOnChange, SlidingWindow};
use crate::posterior::{Posterior, Ridge};

/// Policy of a type that settings can select.
pub(super) trait Configured: Policy + Any {
    /// Exploration rule of the policy; `None` if arms are drawn uniformly.
    fn rule(&self) -> Option<AnyRule>;

    /// Replaces the exploration rule and its floor, the minimum probability of each arm.
    fn set_rule(&mut self, rule: FlooredRule) -> Result<()>;

    /// Returns whether `other` has the same type and the same settings, apart from the exploration rule.
    fn has_settings_of(&self, other: &dyn Any) -> bool;

    /// Discards everything learned. Arms, version and epoch are unchanged.
    fn reset(&mut self);

    /// Multiplies all evidence by a decay factor; the prior keeps its weight.
    ///
    /// # Errors
    /// Fails if evidence of this type of policy cannot decay, or if a precision overflows. After an error the policy is
    /// unchanged.
    fn forget(&mut self, _decay: f64) -> Result<()> {
        Err(Error::Unsupported { what: "forgetting by a clock" })
    }

    /// Products of context and features that the policy uses as inputs; `None` without products.
    fn interactions(&self) -> Option<&Interactions> {
        None
    }
}

/// Cloneable policy of a concrete type that settings can select.
pub(super) trait CloneablePolicy: Configured + Clone {
    /// Returns whether the model is logistic. Means are then log-odds.
    fn is_logistic(&self) -> bool;
}

fn other_rule<T>(expected: &str) -> Result<T> {
    Err(Error::Settings { problem: format!("exploration: expected {expected} with this policy") })
}

impl<P: Posterior> Configured for Disjoint<P, FlooredRule> {
    fn rule(&self) -> Option<AnyRule> {
        Some(self.exploration().rule)
    }

    fn set_rule(&mut self, rule: FlooredRule) -> Result<()> {
        self.set_exploration(rule)
    }

    fn has_settings_of(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<Self>().is_some_and(|other| self.options() == other.options())
    }

    fn reset(&mut self) {
        self.reset();
    }

    fn forget(&mut self, decay: f64) -> Result<()> {
        self.forget(decay)
    }
}

impl Configured for SlidingWindow<FlooredRule> {
    fn rule(&self) -> Option<AnyRule> {
        self.policy().rule()
    }

    fn set_rule(&mut self, rule: FlooredRule) -> Result<()> {
        self.policy_mut().set_rule(rule)
    }

    fn has_settings_of(&self, other: &dyn Any) -> bool {
        let same = |other: &Self| self.length() == other.length() && self.policy().has_settings_of(other.policy());
        other.downcast_ref().is_some_and(same)
    }

    fn reset(&mut self) {
        self.policy_mut().reset();
    }
}

impl Configured for ResetOnChange<Ridge, FlooredRule> {
    fn rule(&self) -> Option<AnyRule> {
        self.policy().rule()
    }

    fn set_rule(&mut self, rule: FlooredRule) -> Result<()> {
        self.policy_mut().set_rule(rule)
    }

    fn has_settings_of(&self, other: &dyn Any) -> bool {
        let same =
            |other: &Self| self.detector().tests_as(other.detector()) && self.policy().has_settings_of(other.policy());
        other.downcast_ref().is_some_and(same)
    }

    fn reset(&mut self) {
        self.policy_mut().reset();
    }
}

impl Configured for Hybrid<FlooredRule> {
    fn rule(&self) -> Option<AnyRule> {
        Some(self.exploration().rule)
    }

    fn set_rule(&mut self, rule: FlooredRule) -> Result<()> {
        self.set_exploration(rule)
    }

    fn has_settings_of(&self, other: &dyn Any) -> bool {
        let same = |other: &Self| {
            self.prior_precisions() == other.prior_precisions() && self.shared_dimension() == other.shared_dimension()
        };
        other.downcast_ref().is_some_and(same)
    }

    fn reset(&mut self) {
        self.reset();
    }

    fn forget(&mut self, decay: f64) -> Result<()> {
        self.forget(decay)
    }
}

impl<P: Posterior> Configured for TopK<P, FlooredRule> {
    fn rule(&self) -> Option<AnyRule> {
        Some(self.exploration().rule)
    }

    fn set_rule(&mut self, rule: FlooredRule) -> Result<()> {
        self.set_exploration(rule)
    }

    fn has_settings_of(&self, other: &dyn Any) -> bool {
        let same = |other: &Self| self.options() == other.options() && self.interactions() == other.interactions();
        other.downcast_ref().is_some_and(same)
    }

    fn interactions(&self) -> Option<&Interactions> {
        self.interactions()
    }

    fn reset(&mut self) {
        self.reset();
    }

    fn forget(&mut self, decay: f64) -> Result<()> {
        self.forget(decay)
    }
}

impl Configured for ContextFree<Ucb1> {
    fn rule(&self) -> Option<AnyRule> {
        Some(AnyRule::Ucb1(*Self::rule(self)))
    }

    fn set_rule(&mut self, rule: FlooredRule) -> Result<()> {
        if let AnyRule::Ucb1(rule) = rule.rule { Self::set_rule(self, rule) } else { other_rule("ucb1") }
    }

    fn has_settings_of(&self, other: &dyn Any) -> bool {
        other.is::<Self>()
    }

    /// Does nothing, since settings do not allow a policy without contexts to forget.
    fn reset(&mut self) {}
}

impl Configured for ContextFree<BetaThompson> {
    fn rule(&self) -> Option<AnyRule> {
        Some(AnyRule::BetaThompson(*Self::rule(self)))
    }

    fn set_rule(&mut self, rule: FlooredRule) -> Result<()> {
        if let AnyRule::BetaThompson(rule) = rule.rule {
            Self::set_rule(self, rule)
        } else {
            other_rule("beta-thompson")
        }
    }

    fn has_settings_of(&self, other: &dyn Any) -> bool {
        other.is::<Self>()
    }

    /// Does nothing, since settings do not allow a policy without contexts to forget.
    fn reset(&mut self) {}
}

impl Configured for Uniform {
    fn rule(&self) -> Option<AnyRule> {
        None
    }

    fn set_rule(&mut self, _: FlooredRule) -> Result<()> {
        other_rule("none")
    }

    fn has_settings_of(&self, other: &dyn Any) -> bool {
        other.is::<Self>()
    }

    /// Does nothing, since settings do not allow a policy without contexts to forget.
    fn reset(&mut self) {}
}
