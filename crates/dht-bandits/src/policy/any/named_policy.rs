//! Policies that settings can name.

use super::configured::Configured;
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
use serde::{Deserialize, Serialize};

/// Policy that settings can name, one variant for each kind.
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
}

fn no_epochs() -> Error {
    Error::Settings { problem: "kind: uniform draws learn nothing, so that no decision expires".to_owned() }
}

impl NamedPolicy {
    pub(super) fn new(settings: &PolicySettings) -> Result<Self> {
        let PolicySettings { kind, arms, prior_precision, decay, .. } = *settings;
        let (d, features) = (settings.scaled_dimension(), settings.features);
        let products = settings.products()?;
        let both = products.as_ref().map_or(d.saturating_add(features), Interactions::dimension);
        let rule = || settings.floored_rule();
        let ridge = Ridge { prior_precision, decay, keep_information: false };
        let noise = NormalInverseGamma { prior_precision, ..NormalInverseGamma::default() };
        let full = FullLaplace { prior_precision };
        let diagonal = DiagonalLaplace::default().with_prior_precision(prior_precision).with_decay(decay);
        Ok(match kind {
            PolicyKind::Linear => {
                let stationary = || Disjoint::new(d, arms, ridge, rule()?);
                match (settings.clock, settings.window, settings.reset) {
                    (Some(clock), ..) => {
                        let options = DiscountedRidge { prior_precision, decay, clock };
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
            // Stands for one of the others where a policy is made.
            PolicyKind::Auto => return Err(Error::Settings { problem: "kind: \"auto\" is not resolved".to_owned() }),
        })
    }

    /// Returns whether the features are part of the row that weights are multiplied with.
    pub(super) fn joins_features(&self) -> bool {
        matches!(
            self,
            Self::TopKLinear(_)
                | Self::TopKDiagonalLogistic(_)
                | Self::SharedLinear(_)
                | Self::SharedLogistic(_)
                | Self::SharedDiagonalLogistic(_)
        )
    }

    fn inside(&self) -> &dyn Configured {
        match self {
            Self::Linear(policy) => policy,
            Self::LinearClock(policy) => policy,
            Self::LinearWindow(policy) => policy,
            Self::LinearReset(policy) => policy,
            Self::LinearNoise(policy) => policy,
            Self::Logistic(policy) => policy,
            Self::DiagonalLogistic(policy) => policy,
            Self::Hybrid(policy) => policy,
            Self::TopKLinear(policy) => policy,
            Self::TopKDiagonalLogistic(policy) => policy,
            Self::SharedLinear(policy) => policy,
            Self::SharedLogistic(policy) => policy,
            Self::SharedDiagonalLogistic(policy) => policy,
            Self::Ucb1(policy) => policy,
            Self::BetaThompson(policy) => policy,
            Self::Uniform(policy) => policy,
        }
    }

    fn inside_mut(&mut self) -> &mut dyn Configured {
        match self {
            Self::Linear(policy) => policy,
            Self::LinearClock(policy) => policy,
            Self::LinearWindow(policy) => policy,
            Self::LinearReset(policy) => policy,
            Self::LinearNoise(policy) => policy,
            Self::Logistic(policy) => policy,
            Self::DiagonalLogistic(policy) => policy,
            Self::Hybrid(policy) => policy,
            Self::TopKLinear(policy) => policy,
            Self::TopKDiagonalLogistic(policy) => policy,
            Self::SharedLinear(policy) => policy,
            Self::SharedLogistic(policy) => policy,
            Self::SharedDiagonalLogistic(policy) => policy,
            Self::Ucb1(policy) => policy,
            Self::BetaThompson(policy) => policy,
            Self::Uniform(policy) => policy,
        }
    }

    /// Refuses to change the arms of shared kinds.
    fn check_arms_change(&self) -> Result<()> {
        match self {
            Self::SharedLinear(_) | Self::SharedLogistic(_) | Self::SharedDiagonalLogistic(_) => {
                let problem = "kind: arms of shared kinds come and go with the features of a request".to_owned();
                Err(Error::Settings { problem })
            }
            _ => Ok(()),
        }
    }

    /// Products of context and features, if there are any.
    pub(super) fn interactions(&self) -> Option<&Interactions> {
        self.inside().interactions()
    }

    /// Replaces the exploration rule.
    pub(super) fn set_exploration(&mut self, rule: FlooredRule) -> Result<()> {
        self.inside_mut().set_rule(rule)
    }

    /// Refuses to copy a policy if memory for the copy cannot be allocated. The size is approximate: d²/2 values per
    /// arm and its cross terms, or d with a diagonal precision.
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
            Self::Hybrid(policy) => {
                let cross = d.checked_mul(policy.shared_dimension());
                (self.arms().len(), full.zip(cross).and_then(|(full, cross)| full.checked_add(cross)))
            }
            _ => (self.arms().len(), full),
        };
        check_memory("copy of the policy", numbers.and_then(|numbers| numbers.checked_mul(arms)))
    }

    /// Lets time elapse, for policies whose evidence decays with time.
    pub(super) fn elapse(&mut self, time: f64) -> Result<()> {
        match self {
            Self::LinearClock(policy) if policy.options().clock == DecayClock::Time => policy.elapse(time),
            _ => Err(Error::Settings { problem: "clock: expected \"time\", for time to pass".to_owned() }),
        }
    }

    /// Returns whether this is a policy of these settings, whatever its learned state and its current arms.
    pub(super) fn fits(&self, settings: &PolicySettings) -> bool {
        // Before a policy of these lengths is made: they may be damaged, and large.
        let (d, features, length) = (settings.scaled_dimension(), settings.features, Policy::dimension(self));
        let lengths_fit = match self {
            Self::Ucb1(_) | Self::BetaThompson(_) => true,
            Self::Hybrid(policy) => length == d && policy.shared_dimension() == features,
            _ if self.joins_features() => length == d.saturating_add(features),
            _ => length == d,
        };
        if !lengths_fit || !Policy::arms(self).began_with(settings.arms) {
            return false;
        }
        let Ok(blank) = Self::new(&PolicySettings { arms: 0, ..settings.clone() }) else { return false };
        let (ours, theirs) = (self.inside(), blank.inside());
        std::mem::discriminant(self) == std::mem::discriminant(&blank)
            && ours.rule() == theirs.rule()
            && ours.dimension() == theirs.dimension()
            && ours.has_settings_of(theirs)
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
        if free || matches!(self, Self::LinearWindow(_) | Self::LinearReset(_) | Self::Hybrid(_)) {
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
