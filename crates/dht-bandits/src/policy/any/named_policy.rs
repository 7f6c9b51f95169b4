//! Policies of every type that settings can select, in one enum.

use std::any::Any;

use serde::{Deserialize, Serialize};

use super::configured::{CloneablePolicy, Configured};
use super::forgetful::Forgetful;
use super::interactions::multiplied;
use super::rule::FlooredRule;
use super::{AnyRule, PolicyKind, PolicySettings};
use crate::arm::ArmId;
use crate::decision::{Decision, Feedback, Slate};
use crate::error::{Error, Result};
use crate::features::Interactions;
use crate::policy::forward::chooses_as;
use crate::policy::{BetaThompson, ContextFree, Disjoint, Hybrid, Observation, Policy, TopK, Ucb1, Uniform};
use crate::policy::{ResetOnChange, SlidingWindow};
use crate::posterior::{DecayClock, DiagonalLaplace, DiscountedRidge, FullLaplace, NormalInverseGamma, Ridge};
use crate::validate::check_memory;

/// Policy of any type that settings can select.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum NamedPolicy {
    Linear(Disjoint<Ridge, FlooredRule>),
    LinearClock(Disjoint<DiscountedRidge, FlooredRule>),
    LinearWindow(SlidingWindow<FlooredRule>),
    LinearReset(ResetOnChange<Ridge, FlooredRule>),
    LinearNoise(Disjoint<NormalInverseGamma, FlooredRule>),
    Logistic(Disjoint<FullLaplace, FlooredRule>),
    DiagonalLogistic(Disjoint<DiagonalLaplace, FlooredRule>),
    Hybrid(Hybrid<FlooredRule>),
    TopKLinear(TopK<Ridge, FlooredRule>),
    TopKDiagonalLogistic(TopK<DiagonalLaplace, FlooredRule>),
    SharedLinear(TopK<Ridge, FlooredRule>),
    SharedLogistic(TopK<FullLaplace, FlooredRule>),
    SharedDiagonalLogistic(TopK<DiagonalLaplace, FlooredRule>),
    Ucb1(ContextFree<Ucb1>),
    BetaThompson(ContextFree<BetaThompson>),
    Uniform(Uniform),
    /// Policy wrapped for forgetting, because its type has no method of forgetting.
    Forgetful(Forgetful<NamedPolicy>),
}

/// Evaluates an expression for the policy in any variant. This macro is the only list of variants.
macro_rules! each_kind {
    ($self:expr, $policy:ident => $then:expr) => {
        each_kind!(@ $self, $policy, $then, Linear LinearClock LinearWindow LinearReset LinearNoise Logistic
            DiagonalLogistic Hybrid TopKLinear TopKDiagonalLogistic SharedLinear SharedLogistic SharedDiagonalLogistic
            Ucb1 BetaThompson Uniform Forgetful)
    };
    (@ $self:expr, $policy:ident, $then:expr, $($kind:ident)*) => {
        match $self {
            $(NamedPolicy::$kind($policy) => $then,)*
        }
    };
}

fn no_epochs() -> Error {
    Error::Settings { problem: "kind: uniform draws learn nothing, so their decisions do not expire".to_owned() }
}

impl NamedPolicy {
    pub(super) fn new(settings: &PolicySettings) -> Result<Self> {
        let PolicySettings { kind, arms, prior_precision, .. } = *settings;
        // With a clock, the evidence decays by the clock and not in the posterior.
        let decay = if settings.clock.is_some() { 1.0 } else { settings.decay };
        let (d, features) = (settings.scaled_dimension(), settings.features);
        let products = settings.products()?;
        let both = products.as_ref().map_or(d.saturating_add(features), Interactions::dimension);
        let rule = || settings.floored_rule();
        let ridge = Ridge { prior_precision, decay, keep_information: false };
        let noise = NormalInverseGamma { prior_precision, ..NormalInverseGamma::default() };
        let full = FullLaplace { prior_precision };
        let diagonal = DiagonalLaplace::default().with_prior_precision(prior_precision).with_decay(decay);
        let policy = match kind {
            PolicyKind::Linear => {
                let stationary = || Disjoint::new(d, arms, ridge, rule()?);
                match (settings.clock, settings.window, settings.reset) {
                    (Some(clock), ..) => {
                        let options = DiscountedRidge { prior_precision, decay: settings.decay, clock };
                        Self::LinearClock(Disjoint::new(d, arms, options, rule()?)?)
                    }
                    (_, Some(length), _) => Self::LinearWindow(SlidingWindow::new(stationary()?, length)?),
                    (.., Some(test)) => Self::LinearReset(ResetOnChange::new(stationary()?, test)?),
                    _ => Self::Linear(stationary()?),
                }
            }
            PolicyKind::LinearNoise => Self::LinearNoise(Disjoint::new(d, arms, noise, rule()?)?),
            PolicyKind::Logistic => Self::Logistic(Disjoint::new(d, arms, full, rule()?)?),
            PolicyKind::DiagonalLogistic => Self::DiagonalLogistic(Disjoint::new(d, arms, diagonal, rule()?)?),
            PolicyKind::Hybrid => {
                let hybrid = Hybrid::new(d, features, arms, prior_precision, rule()?)?;
                Self::Hybrid(hybrid.with_shared_prior_precision(settings.shared_prior_precision)?)
            }
            PolicyKind::TopKLinear => {
                Self::TopKLinear(multiplied(TopK::per_arm(both, arms, ridge, rule()?)?, products)?)
            }
            PolicyKind::TopKDiagonalLogistic => {
                Self::TopKDiagonalLogistic(multiplied(TopK::per_arm(both, arms, diagonal, rule()?)?, products)?)
            }
            PolicyKind::SharedLinear => Self::SharedLinear(multiplied(TopK::shared(both, ridge, rule()?)?, products)?),
            PolicyKind::SharedLogistic => {
                Self::SharedLogistic(multiplied(TopK::shared(both, full, rule()?)?, products)?)
            }
            PolicyKind::SharedDiagonalLogistic => {
                Self::SharedDiagonalLogistic(multiplied(TopK::shared(both, diagonal, rule()?)?, products)?)
            }
            PolicyKind::ContextFree => match rule()?.rule {
                AnyRule::Ucb1(rule) => Self::Ucb1(ContextFree::new(arms, rule)?),
                AnyRule::BetaThompson(rule) => Self::BetaThompson(ContextFree::new(arms, rule)?),
                _ => {
                    let problem = "exploration: expected ucb1 or beta-thompson with kind = \"context-free\"".to_owned();
                    return Err(Error::Settings { problem });
                }
            },
            PolicyKind::Uniform => Self::Uniform(Uniform::new(d, arms)?),
            // `auto` must be resolved to another kind before.
            PolicyKind::Auto => return Err(Error::Settings { problem: "kind: \"auto\" is not resolved".to_owned() }),
        };
        // The kind `linear` has its own clock, window and change test.
        let forgets = settings.clock.is_some() || settings.window.is_some() || settings.reset.is_some();
        if kind == PolicyKind::Linear || !forgets {
            return Ok(policy);
        }
        Ok(Self::Forgetful(Forgetful::new(policy, settings)?))
    }

    /// Returns whether `other` has the same type, settings, lengths and exploration rule.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.inside(), other.inside());
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && ours.rule() == theirs.rule()
            && ours.dimension() == theirs.dimension()
            && ours.has_settings_of(theirs)
    }

    /// Number of resets by the change test; `None` without a test.
    pub(super) fn resets(&self) -> Option<u64> {
        match self {
            Self::LinearReset(policy) => Some(policy.resets()),
            Self::Forgetful(policy) => policy.resets(),
            _ => None,
        }
    }

    /// Returns whether the model takes the context and an arm's features as one input vector.
    pub(super) fn joins_features(&self) -> bool {
        match self {
            Self::TopKLinear(_)
            | Self::TopKDiagonalLogistic(_)
            | Self::SharedLinear(_)
            | Self::SharedLogistic(_)
            | Self::SharedDiagonalLogistic(_) => true,
            Self::Forgetful(policy) => policy.policy().joins_features(),
            _ => false,
        }
    }

    fn inside(&self) -> &dyn Configured {
        each_kind!(self, policy => policy)
    }

    fn inside_mut(&mut self) -> &mut dyn Configured {
        each_kind!(self, policy => policy)
    }

    /// Fails if the model is shared by all arms. Arms are then defined by each request and cannot be added or removed.
    fn check_arms_change(&self) -> Result<()> {
        match self {
            Self::SharedLinear(_) | Self::SharedLogistic(_) | Self::SharedDiagonalLogistic(_) => {
                let problem =
                    "kind: arms of shared kinds cannot be added or removed, since each request brings its own"
                        .to_owned();
                Err(Error::Settings { problem })
            }
            Self::Forgetful(policy) => policy.policy().check_arms_change(),
            _ => Ok(()),
        }
    }

    /// Fails if memory for a copy of the policy cannot be allocated. The size is approximate. An arm with d weights
    /// needs d²/2 values, or d with a diagonal precision. In a hybrid policy it also needs cross terms with the shared
    /// weights.
    pub(super) fn check_copy(&self) -> Result<()> {
        let d = self.interactions().map_or(Policy::dimension(self), Interactions::dimension);
        let full = d.saturating_add(16).checked_mul(d.saturating_add(16)).map(|square| square / 2);
        let (arms, numbers) = match self {
            Self::Ucb1(_) | Self::BetaThompson(_) | Self::Uniform(_) => (self.arms().len(), Some(4)),
            Self::SharedLinear(_) | Self::SharedLogistic(_) => (1, full),
            Self::SharedDiagonalLogistic(_) => (1, Some(d)),
            Self::DiagonalLogistic(_) | Self::TopKDiagonalLogistic(_) => (self.arms().len(), d.checked_mul(3)),
            Self::LinearWindow(policy) => {
                check_memory("copy of the window", policy.len().checked_mul(d.saturating_add(8)))?;
                (self.arms().len(), full)
            }
            // A window holds a copy of the policy already.
            Self::Forgetful(policy) => return policy.policy().check_copy(),
            Self::Hybrid(policy) => {
                let cross = d.checked_mul(policy.shared_dimension());
                (self.arms().len(), full.zip(cross).and_then(|(full, cross)| full.checked_add(cross)))
            }
            _ => (self.arms().len(), full),
        };
        check_memory("copy of the policy", numbers.and_then(|numbers| numbers.checked_mul(arms)))
    }

    /// Advances the clock of a policy whose evidence decays with time.
    pub(super) fn elapse(&mut self, time: f64) -> Result<()> {
        match self {
            Self::LinearClock(policy) if policy.options().clock == DecayClock::Time => policy.elapse(time),
            Self::Forgetful(policy) => policy.elapse(time),
            _ => Err(Error::Settings { problem: "clock: expected \"time\" to let time elapse".to_owned() }),
        }
    }

    /// Returns whether the lengths of context and features agree with the settings.
    fn lengths_fit(&self, settings: &PolicySettings) -> bool {
        let (d, features, length) = (settings.scaled_dimension(), settings.features, Policy::dimension(self));
        match self {
            Self::Ucb1(_) | Self::BetaThompson(_) => true,
            Self::Forgetful(policy) => policy.policy().lengths_fit(settings),
            Self::Hybrid(policy) => length == d && policy.shared_dimension() == features,
            _ if self.joins_features() => length == d.saturating_add(features),
            _ => length == d,
        }
    }

    /// Returns whether this policy may have been created with the settings. Learned state, and arms that were added or
    /// removed, make no difference.
    pub(super) fn fits(&self, settings: &PolicySettings) -> bool {
        // The lengths are checked before a policy is created from them, since they may be damaged, and large.
        if !self.lengths_fit(settings) || !Policy::arms(self).began_with(settings.arms) {
            return false;
        }
        let Ok(blank) = Self::new(&PolicySettings { arms: 0, ..settings.clone() }) else { return false };
        self.is_like(&blank)
    }
}

impl Configured for NamedPolicy {
    fn rule(&self) -> Option<AnyRule> {
        self.inside().rule()
    }

    fn set_rule(&mut self, rule: FlooredRule) -> Result<()> {
        self.inside_mut().set_rule(rule)
    }

    fn has_settings_of(&self, other: &dyn Any) -> bool {
        other.downcast_ref().is_some_and(|other| self.is_like(other))
    }

    fn reset(&mut self) {
        self.inside_mut().reset();
    }

    fn forget(&mut self, decay: f64) -> Result<()> {
        self.inside_mut().forget(decay)
    }

    fn interactions(&self) -> Option<&Interactions> {
        self.inside().interactions()
    }
}

impl CloneablePolicy for NamedPolicy {
    fn is_logistic(&self) -> bool {
        match self {
            Self::Logistic(_)
            | Self::DiagonalLogistic(_)
            | Self::TopKDiagonalLogistic(_)
            | Self::SharedLogistic(_)
            | Self::SharedDiagonalLogistic(_) => true,
            Self::Forgetful(policy) => policy.policy().is_logistic(),
            _ => false,
        }
    }
}

impl Policy for NamedPolicy {
    fn dimension(&self) -> usize {
        self.inside().dimension()
    }

    chooses_as!(self => self.inside());

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        self.inside_mut().update(arm, context, reward, weight)
    }

    fn check_update(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<bool> {
        self.inside().check_update(arm, context, reward, weight)
    }

    fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
        self.inside_mut().learn(decision, reward)
    }

    fn learn_slate(&mut self, slate: &Slate, feedback: &[Feedback]) -> Result<()> {
        self.inside_mut().learn_slate(slate, feedback)
    }

    fn learn_batch(&mut self, observations: &[Observation]) -> Result<()> {
        let free = matches!(self, Self::Ucb1(_) | Self::BetaThompson(_) | Self::Uniform(_));
        if free || matches!(self, Self::LinearWindow(_) | Self::LinearReset(_) | Self::Hybrid(_) | Self::Forgetful(_)) {
            self.check_copy()?;
        }
        self.inside_mut().learn_batch(observations)
    }

    fn add_arm(&mut self) -> Result<ArmId> {
        self.check_arms_change()?;
        self.inside_mut().add_arm()
    }

    fn add_arm_like(&mut self, like: ArmId) -> Result<ArmId> {
        self.check_arms_change()?;
        self.inside_mut().add_arm_like(like)
    }

    fn warm_start(&mut self, to: ArmId, from: ArmId) -> Result<()> {
        self.check_arms_change()?;
        self.inside_mut().warm_start(to, from)
    }

    fn insert_arm(&mut self, arm: ArmId) -> Result<()> {
        self.check_arms_change()?;
        self.inside_mut().insert_arm(arm)
    }

    fn remove_arm(&mut self, arm: ArmId) -> Result<()> {
        self.check_arms_change()?;
        self.inside_mut().remove_arm(arm)
    }

    fn expire_decisions(&mut self) -> Result<()> {
        if let Self::Uniform(_) = self { Err(no_epochs()) } else { self.inside_mut().expire_decisions() }
    }
}
