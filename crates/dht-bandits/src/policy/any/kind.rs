//! The policies that settings can name.

use super::{AnyRule, PolicyKind, PolicySettings};
use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::policy::drift::{AnyDetector, ResetOnChange, SlidingWindow};
use crate::policy::forward::chooses_as;
use crate::policy::{
    BetaThompson, ContextFree, Decision, Disjoint, Hybrid, HybridOptions, Policy, SlatePolicy, TopK, Ucb1, Uniform,
};
use crate::posterior::{
    DecayClock, DiagonalLaplace, DiagonalLaplaceOptions, DiscountedRidge, DiscountedRidgeOptions, FullLaplace,
    FullLaplaceOptions, NormalInverseGamma, NormalInverseGammaOptions, Ridge, RidgeOptions, TsPrior,
};
use serde::{Deserialize, Serialize};

/// One of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Linear(Disjoint<Ridge, AnyRule>),
    LinearClock(Disjoint<DiscountedRidge, AnyRule>),
    LinearWindow(SlidingWindow<AnyRule>),
    LinearReset(ResetOnChange<Ridge, AnyRule, AnyDetector>),
    LinearNoise(Disjoint<NormalInverseGamma, AnyRule>),
    Logistic(Disjoint<FullLaplace, AnyRule>),
    DiagonalLogistic(Disjoint<DiagonalLaplace, AnyRule>),
    Hybrid(Hybrid<AnyRule>),
    TopKLinear(TopK<Ridge, AnyRule>),
    TopKDiagonalLogistic(TopK<DiagonalLaplace, AnyRule>),
    SharedLinear(TopK<Ridge, AnyRule>),
    SharedLogistic(TopK<FullLaplace, AnyRule>),
    SharedDiagonalLogistic(TopK<DiagonalLaplace, AnyRule>),
    Ucb1(ContextFree<Ucb1>),
    BetaThompson(ContextFree<BetaThompson>),
    Uniform(Uniform),
}

fn no_slates() -> Error {
    Error::Settings { problem: "kind: expected a shared or a top-k one, for slates".to_owned() }
}

fn no_arms() -> Error {
    let problem = "kind: arms of shared kinds come and go with the features of a request".to_owned();
    Error::Settings { problem }
}

/// The same for each of them.
macro_rules! each {
    ($self:expr, $policy:ident => $then:expr) => {
        match $self {
            Kind::Linear($policy) => $then,
            Kind::LinearClock($policy) => $then,
            Kind::LinearWindow($policy) => $then,
            Kind::LinearReset($policy) => $then,
            Kind::LinearNoise($policy) => $then,
            Kind::Logistic($policy) => $then,
            Kind::DiagonalLogistic($policy) => $then,
            Kind::Hybrid($policy) => $then,
            Kind::TopKLinear($policy) => $then,
            Kind::TopKDiagonalLogistic($policy) => $then,
            Kind::SharedLinear($policy) => $then,
            Kind::SharedLogistic($policy) => $then,
            Kind::SharedDiagonalLogistic($policy) => $then,
            Kind::Ucb1($policy) => $then,
            Kind::BetaThompson($policy) => $then,
            Kind::Uniform($policy) => $then,
        }
    };
}

impl Kind {
    pub(super) fn new(settings: &PolicySettings) -> Result<Self> {
        let PolicySettings { kind, arms, prior_precision, decay, .. } = *settings;
        let (d, features) = (settings.scaled_dimension(), settings.features);
        let both = d.saturating_add(features);
        let rule = || {
            let missing = || Error::Settings { problem: "exploration: missing".to_owned() };
            settings.exploration.ok_or_else(missing)
        };
        let ridge = RidgeOptions { prior_precision, forgetting: decay, keep_information: false };
        let noise = NormalInverseGammaOptions { prior_precision, ..NormalInverseGammaOptions::default() };
        let full = FullLaplaceOptions { prior_precision };
        let diagonal = DiagonalLaplaceOptions { prior: TsPrior::Gaussian { prior_precision }, forgetting: decay };
        let hybrid = HybridOptions { prior_precision, shared_prior_precision: settings.shared_prior_precision };
        Ok(match kind {
            PolicyKind::Linear => {
                let stationary = || Disjoint::new(d, arms, ridge, rule()?);
                match (settings.clock, settings.window, settings.reset) {
                    (Some(clock), ..) => {
                        let options = DiscountedRidgeOptions { prior_precision, forgetting: decay, clock };
                        Self::LinearClock(Disjoint::new(d, arms, options, rule()?)?)
                    }
                    (_, Some(length), _) => Self::LinearWindow(SlidingWindow::new(stationary()?, length)?),
                    (.., Some(test)) => Self::LinearReset(ResetOnChange::new(stationary()?, AnyDetector::new(test)?)),
                    _ => Self::Linear(stationary()?),
                }
            }
            PolicyKind::LinearNoise => Self::LinearNoise(Disjoint::new(d, arms, noise, rule()?)?),
            PolicyKind::Logistic => Self::Logistic(Disjoint::new(d, arms, full, rule()?)?),
            PolicyKind::DiagonalLogistic => Self::DiagonalLogistic(Disjoint::new(d, arms, diagonal, rule()?)?),
            PolicyKind::Hybrid => Self::Hybrid(Hybrid::new(d, features, arms, hybrid, rule()?)?),
            PolicyKind::TopKLinear => Self::TopKLinear(TopK::per_arm(both, arms, ridge, rule()?)?),
            PolicyKind::TopKDiagonalLogistic => {
                Self::TopKDiagonalLogistic(TopK::per_arm(both, arms, diagonal, rule()?)?)
            }
            PolicyKind::SharedLinear => Self::SharedLinear(TopK::shared(both, ridge, rule()?)?),
            PolicyKind::SharedLogistic => Self::SharedLogistic(TopK::shared(both, full, rule()?)?),
            PolicyKind::SharedDiagonalLogistic => Self::SharedDiagonalLogistic(TopK::shared(both, diagonal, rule()?)?),
            PolicyKind::ContextFree => match rule()? {
                AnyRule::Ucb1(rule) => Self::Ucb1(ContextFree::new(arms, rule)?),
                AnyRule::BetaThompson(rule) => Self::BetaThompson(ContextFree::new(arms, rule)?),
                _ => {
                    let problem = "exploration: expected ucb1 or beta-thompson with kind = \"context-free\"".to_owned();
                    return Err(Error::Settings { problem });
                }
            },
            PolicyKind::Uniform => Self::Uniform(Uniform::new(d, arms)?),
        })
    }

    /// Whether what weights are multiplied with holds the features too.
    pub(super) fn joins_features(&self) -> bool {
        self.slates().is_ok()
    }

    /// The policy of slates that it is.
    pub(super) fn slates(&self) -> Result<&dyn SlatePolicy> {
        match self {
            Self::TopKLinear(policy) | Self::SharedLinear(policy) => Ok(policy),
            Self::TopKDiagonalLogistic(policy) | Self::SharedDiagonalLogistic(policy) => Ok(policy),
            Self::SharedLogistic(policy) => Ok(policy),
            _ => Err(no_slates()),
        }
    }

    /// As [`slates`](Self::slates), to learn.
    pub(super) fn slates_mut(&mut self) -> Result<&mut dyn SlatePolicy> {
        match self {
            Self::TopKLinear(policy) | Self::SharedLinear(policy) => Ok(policy),
            Self::TopKDiagonalLogistic(policy) | Self::SharedDiagonalLogistic(policy) => Ok(policy),
            Self::SharedLogistic(policy) => Ok(policy),
            _ => Err(no_slates()),
        }
    }

    fn inside(&self) -> &dyn Policy {
        each!(self, policy => policy)
    }

    /// Adds an arm that has learned nothing.
    pub(super) fn add_arm(&mut self) -> Result<ArmId> {
        match self {
            Self::Linear(policy) => policy.add_arm(),
            Self::LinearClock(policy) => policy.add_arm(),
            Self::LinearWindow(policy) => policy.policy_mut().add_arm(),
            Self::LinearReset(policy) => policy.policy_mut().add_arm(),
            Self::LinearNoise(policy) => policy.add_arm(),
            Self::Logistic(policy) => policy.add_arm(),
            Self::DiagonalLogistic(policy) => policy.add_arm(),
            Self::Hybrid(policy) => policy.add_arm(),
            Self::TopKLinear(policy) => policy.add_arm(),
            Self::TopKDiagonalLogistic(policy) => policy.add_arm(),
            Self::Ucb1(policy) => policy.add_arm(),
            Self::BetaThompson(policy) => policy.add_arm(),
            Self::Uniform(policy) => policy.add_arm(),
            Self::SharedLinear(_) | Self::SharedLogistic(_) | Self::SharedDiagonalLogistic(_) => Err(no_arms()),
        }
    }

    /// Removes an arm for good.
    pub(super) fn remove_arm(&mut self, arm: ArmId) -> Result<()> {
        match self {
            Self::Linear(policy) => policy.remove_arm(arm),
            Self::LinearClock(policy) => policy.remove_arm(arm),
            Self::LinearWindow(policy) => policy.policy_mut().remove_arm(arm),
            Self::LinearReset(policy) => policy.policy_mut().remove_arm(arm),
            Self::LinearNoise(policy) => policy.remove_arm(arm),
            Self::Logistic(policy) => policy.remove_arm(arm),
            Self::DiagonalLogistic(policy) => policy.remove_arm(arm),
            Self::Hybrid(policy) => policy.remove_arm(arm),
            Self::TopKLinear(policy) => policy.remove_arm(arm),
            Self::TopKDiagonalLogistic(policy) => policy.remove_arm(arm),
            Self::Ucb1(policy) => policy.remove_arm(arm),
            Self::BetaThompson(policy) => policy.remove_arm(arm),
            Self::Uniform(policy) => policy.remove_arm(arm),
            Self::SharedLinear(_) | Self::SharedLogistic(_) | Self::SharedDiagonalLogistic(_) => Err(no_arms()),
        }
    }

    /// Lets time pass where it lets evidence fade.
    pub(super) fn elapse(&mut self, time: f64) -> Result<()> {
        match self {
            Self::LinearClock(policy) if policy.options().clock == DecayClock::Time => policy.elapse(time),
            _ => Err(Error::Settings { problem: "clock: expected \"time\", for time to pass".to_owned() }),
        }
    }

    /// Whether this is a policy of these settings, whatever it has learned and whichever arms it has by now.
    pub(super) fn fits(&self, settings: &PolicySettings) -> bool {
        let Ok(blank) = Self::new(&PolicySettings { arms: 0, ..settings.clone() }) else { return false };
        let like = |rule: Option<&AnyRule>| rule == settings.exploration.as_ref();
        let same = match (self, &blank) {
            (Self::Linear(ours), Self::Linear(blank)) => {
                like(Some(ours.exploration())) && ours.options() == blank.options()
            }
            (Self::LinearClock(ours), Self::LinearClock(blank)) => {
                like(Some(ours.exploration())) && ours.options() == blank.options()
            }
            (Self::LinearWindow(ours), Self::LinearWindow(blank)) => {
                let [inside, blank_inside] = [ours, blank].map(SlidingWindow::policy);
                like(Some(inside.exploration()))
                    && inside.options() == blank_inside.options()
                    && ours.length() == blank.length()
            }
            (Self::LinearReset(ours), Self::LinearReset(blank)) => {
                let [inside, blank_inside] = [ours, blank].map(ResetOnChange::policy);
                like(Some(inside.exploration()))
                    && inside.options() == blank_inside.options()
                    && settings.reset.is_some_and(|test| ours.detector().is_of(test))
            }
            (Self::LinearNoise(ours), Self::LinearNoise(blank)) => {
                like(Some(ours.exploration())) && ours.options() == blank.options()
            }
            (Self::Logistic(ours), Self::Logistic(blank)) => {
                like(Some(ours.exploration())) && ours.options() == blank.options()
            }
            (Self::DiagonalLogistic(ours), Self::DiagonalLogistic(blank)) => {
                like(Some(ours.exploration())) && ours.options() == blank.options()
            }
            (Self::Hybrid(ours), Self::Hybrid(blank)) => {
                like(Some(ours.exploration()))
                    && ours.options() == blank.options()
                    && ours.shared_dimension() == blank.shared_dimension()
            }
            (Self::TopKLinear(ours), Self::TopKLinear(blank)) => {
                like(Some(ours.exploration())) && ours.options() == blank.options()
            }
            (Self::TopKDiagonalLogistic(ours), Self::TopKDiagonalLogistic(blank)) => {
                like(Some(ours.exploration())) && ours.options() == blank.options()
            }
            (Self::SharedLinear(ours), Self::SharedLinear(blank)) => {
                like(Some(ours.exploration())) && ours.options() == blank.options()
            }
            (Self::SharedLogistic(ours), Self::SharedLogistic(blank)) => {
                like(Some(ours.exploration())) && ours.options() == blank.options()
            }
            (Self::SharedDiagonalLogistic(ours), Self::SharedDiagonalLogistic(blank)) => {
                like(Some(ours.exploration())) && ours.options() == blank.options()
            }
            (Self::Ucb1(ours), Self::Ucb1(blank)) => ours.rule() == blank.rule(),
            (Self::BetaThompson(ours), Self::BetaThompson(blank)) => ours.rule() == blank.rule(),
            (Self::Uniform(_), Self::Uniform(_)) => true,
            _ => false,
        };
        same && self.dimension() == blank.dimension()
    }
}

impl Policy for Kind {
    fn dimension(&self) -> usize {
        each!(self, policy => Policy::dimension(policy))
    }

    chooses_as!(self => self.inside());

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        each!(self, policy => Policy::update(policy, arm, context, reward, weight))
    }

    fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
        each!(self, policy => Policy::learn(policy, decision, reward))
    }
}
