//! Policy whose model, exploration rule and scaling come from settings.

use rand::Rng;

use super::configured::Configured;
use super::in_flight::InFlight;
use super::named_policy::NamedPolicy;
use super::rule::AnyRule;
use super::rule::FlooredRule;
use super::settings::NormaliserSettings;
use super::settings::PolicySettings;
use super::wrapped::Wrapped;
use crate::arm::ArmId;
use crate::decision::{Actions, Choice, Decision, Feedback, Propensity, Request, Slate};
use crate::error::{Error, Result};
use crate::features::Normalizer;
use crate::policy::forward::reports_as;
use crate::policy::{Explanation, Normalised, Observation, Policy};

/// Policy whose model, exploration rule and scaling of contexts come from [`PolicySettings`].
///
/// The serialised form contains a header with the version of the format, the settings, and the learned state. With the
/// cargo feature `settings`, policies are saved and loaded as JSON files, and settings are read from TOML and JSON.
///
/// ```
/// use dht_bandits::policy::{AnyPolicy, AnyRule, PolicyKind, PolicySettings};
/// use dht_bandits::{Policy, Request, Thompson};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let rule = AnyRule::Thompson(Thompson { alpha: 0.3 });
/// let settings = PolicySettings::new(PolicyKind::Linear, 2, 3, Some(rule));
/// let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
/// let mut policy = AnyPolicy::new(settings)?;
/// let decision = policy.decide(&Request::new(&[1.0, 0.2]), &mut rng)?;
/// policy.learn(&decision, 1.0)?;
/// assert_eq!(policy.version(), 1);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct AnyPolicy {
    pub(super) settings: PolicySettings,
    pub(super) policy: Wrapped,
    // Announced decisions, which are not saved.
    pub(super) in_flight: Option<Box<InFlight>>,
}

impl AnyPolicy {
    /// Creates an untrained policy from its settings.
    ///
    /// # Errors
    /// [`Error::Settings`] if a setting that the `kind` needs is missing, or if one that it does not use is set. Also
    /// fails if a value is out of its range.
    pub fn new(settings: PolicySettings) -> Result<Self> {
        let settings = settings.resolved()?;
        settings.check()?;
        let kind = NamedPolicy::new(&settings)?;
        let policy = match settings.normaliser {
            None => Wrapped::Plain(Box::new(kind)),
            Some(NormaliserSettings { warm_up, bias, floor, clip, rewards }) => {
                let features = if kind.joins_features() { settings.features } else { 0 };
                let normalizer = Normalizer::new(settings.dimension)?.with_floor(floor)?;
                let normalizer = clip.map_or(Ok(normalizer.clone()), |clip| normalizer.with_clip(clip))?;
                let scaled = Normalised::with_features(kind, features, normalizer, warm_up, bias)?;
                Wrapped::Normalised(Box::new(if rewards { scaled.with_scaled_rewards()? } else { scaled }))
            }
        };
        Ok(Self { settings, policy, in_flight: None })
    }

    /// Settings of the policy. For `kind = "auto"`, they are the recommended settings, with another kind.
    pub fn settings(&self) -> &PolicySettings {
        &self.settings
    }

    /// Replaces the exploration rule, for example to change α or ε; the learned state stays.
    /// [`settings`](Self::settings) then returns the new rule.
    ///
    /// # Errors
    /// [`Error::Settings`] if the policy draws uniformly, or if the rule does not fit the policy: one needs contexts
    /// and the other does not, or one is UCB1 and the other Beta-Thompson sampling. Also fails if a setting is out of
    /// its range. After an error the policy is unchanged.
    pub fn set_exploration(&mut self, exploration: AnyRule) -> Result<()> {
        let floor = self.settings.floor;
        self.kind_mut().set_rule(FlooredRule { rule: exploration, floor })?;
        self.settings.exploration = Some(exploration);
        self.refresh(usize::MAX);
        Ok(())
    }

    /// Number of resets after a detected change; `None` if the settings have no change test (`reset`).
    pub fn resets(&self) -> Option<u64> {
        self.kind().resets()
    }

    /// Advances the clock of all arms, for `clock = "time"`: the weight of evidence is multiplied by γ^`time`, where γ
    /// is the setting `decay`. The cost is O(1). Rewards from the warm-up, in which the scaling is still provisional,
    /// lose no weight.
    ///
    /// # Errors
    /// [`Error::Settings`] if the settings have no clock that measures time. Also fails if the time is negative or not
    /// finite, or if the clock would exceed 2⁵².
    pub fn elapse(&mut self, time: f64) -> Result<()> {
        self.kind_mut().elapse(time)?;
        self.refresh(usize::MAX);
        Ok(())
    }

    /// Checks the lengths of context and features separately. A check of their sum would not suffice: a model over both
    /// could take a feature for a part of the context, or the reverse.
    fn check_lengths(&self, request: &Request<'_>) -> Result<()> {
        let PolicySettings { dimension, features, .. } = self.settings;
        let joins = self.kind().joins_features();
        match request.actions {
            Actions::Featured(featured) if features > 0 || joins => {
                let (expected, got) = (features, featured.width());
                if got != expected {
                    return Err(Error::Dimension { what: "features of an arm", expected, got });
                }
            }
            _ if features > 0 && joins => return Err(Error::NeedsFeatures { width: features }),
            _ => return Ok(()),
        }
        let (expected, got) = (dimension, request.context.len());
        if got == expected { Ok(()) } else { Err(Error::Dimension { what: "context", expected, got }) }
    }

    /// Policy that has learned all rewards that arrived, without the rewards assumed for announced decisions.
    pub(super) fn learned(&self) -> &dyn Policy {
        self.policy.as_policy()
    }

    /// Changes the arms or the epoch of the policy, and rebuilds the copy that chooses while announced rewards are
    /// outstanding.
    fn change<T>(&mut self, change: impl Fn(&mut dyn Policy) -> Result<T>) -> Result<T> {
        let changed = change(self.policy.as_policy_mut())?;
        self.refresh(usize::MAX);
        Ok(changed)
    }

    pub(super) fn kind_mut(&mut self) -> &mut NamedPolicy {
        match &mut self.policy {
            Wrapped::Plain(kind) => kind,
            Wrapped::Normalised(policy) => policy.inner_mut(),
        }
    }
}

impl Policy for AnyPolicy {
    reports_as!(self => self.learned());

    fn add_arm(&mut self) -> Result<ArmId> {
        self.change(|policy| policy.add_arm())
    }

    fn insert_arm(&mut self, arm: ArmId) -> Result<()> {
        self.change(|policy| policy.insert_arm(arm))
    }

    fn add_arm_like(&mut self, like: ArmId) -> Result<ArmId> {
        self.change(|policy| policy.add_arm_like(like))
    }

    fn warm_start(&mut self, to: ArmId, from: ArmId) -> Result<()> {
        self.change(|policy| policy.warm_start(to, from))
    }

    fn remove_arm(&mut self, arm: ArmId) -> Result<()> {
        self.change(|policy| policy.remove_arm(arm))
    }

    /// Makes all earlier decisions invalid by beginning a new epoch, and ends all announcements of decisions.
    fn expire_decisions(&mut self) -> Result<()> {
        self.policy.as_policy_mut().expire_decisions()?;
        self.in_flight = None;
        Ok(())
    }

    fn explain(&self, decision: &Decision) -> Result<Explanation> {
        self.learned().explain(decision)
    }

    /// Learns several rewards of single decisions at once: all of them, or none if one is refused.
    ///
    /// Policies of the linear, logistic, top-k and shared kinds learn the rewards as
    /// [`Disjoint::learn_batch`](crate::policy::Disjoint::learn_batch) does. Policies of other kinds, and of all kinds
    /// while their scaling is provisional, learn the rewards one by one on a copy. The change test (`reset`) uses the
    /// rewards of weight 1.
    ///
    /// # Errors
    /// Returns the error of [`learn`](Policy::learn) for the first observation that is refused.
    fn learn_batch(&mut self, observations: &[Observation]) -> Result<()> {
        match &mut self.policy {
            Wrapped::Plain(kind) => kind.learn_batch(observations)?,
            Wrapped::Normalised(policy) => {
                check_copy_of_warm_up(policy)?;
                policy.learn_batch(observations)?;
            }
        }
        for Observation { decision, reward, weight } in observations {
            self.end_wait(decision);
            self.refresh_after(decision.arm(), &decision.context, *reward, *weight);
        }
        Ok(())
    }

    fn dimension(&self) -> usize {
        self.settings.dimension
    }

    fn select(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Choice> {
        self.check_lengths(request)?;
        match &self.in_flight {
            None => self.learned().select(request, rng),
            Some(flight) => Ok(Choice { version: self.version(), ..flight.chooser.as_policy().select(request, rng)? }),
        }
    }

    fn decide(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Decision> {
        self.check_lengths(request)?;
        match &self.in_flight {
            None => self.learned().decide(request, rng),
            Some(flight) => {
                let mut decision = flight.chooser.as_policy().decide(request, rng)?;
                decision.choice.version = self.version();
                Ok(decision)
            }
        }
    }

    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        self.check_lengths(request)?;
        let chooser = self.in_flight.as_ref().map_or(self.learned(), |flight| flight.chooser.as_policy());
        chooser.propensities(request)
    }

    fn select_slate(&self, k: usize, request: &Request<'_>, rng: &mut dyn Rng, slate: &mut Slate) -> Result<()> {
        slate.clear();
        self.check_lengths(request)?;
        self.learned().select_slate(k, request, rng, slate)
    }

    fn decide_slate(&self, k: usize, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Slate> {
        self.check_lengths(request)?;
        self.learned().decide_slate(k, request, rng)
    }

    fn slate_propensities(&self, k: usize, request: &Request<'_>) -> Result<Vec<Propensity>> {
        self.check_lengths(request)?;
        self.learned().slate_propensities(k, request)
    }

    fn learn_slate(&mut self, slate: &Slate, feedback: &[Feedback]) -> Result<()> {
        match &mut self.policy {
            Wrapped::Plain(kind) => kind.learn_slate(slate, feedback)?,
            Wrapped::Normalised(policy) => {
                check_copy_of_warm_up(policy)?;
                policy.learn_slate(slate, feedback)?;
            }
        }
        self.refresh(usize::MAX);
        Ok(())
    }

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        match &mut self.policy {
            Wrapped::Plain(policy) => policy.update(arm, context, reward, weight)?,
            Wrapped::Normalised(policy) => {
                check_copy_of_warm_up(policy)?;
                policy.update(arm, context, reward, weight)?;
            }
        }
        self.refresh_after(arm, context, reward, weight);
        Ok(())
    }

    fn check_update(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<bool> {
        self.learned().check_update(arm, context, reward, weight)
    }

    fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
        match &mut self.policy {
            Wrapped::Plain(policy) => policy.learn(decision, reward)?,
            Wrapped::Normalised(policy) => {
                check_copy_of_warm_up(policy)?;
                policy.learn(decision, reward)?;
            }
        }
        self.end_wait(decision);
        self.refresh_after(decision.arm(), &decision.context, reward, 1.0);
        Ok(())
    }
}

/// Fails if memory for a copy of the policy cannot be allocated while its scaling is provisional. At the end of the
/// warm-up, the stored rewards are learned on such a copy.
fn check_copy_of_warm_up(policy: &Normalised<NamedPolicy>) -> Result<()> {
    if policy.is_settled() { Ok(()) } else { policy.inner().check_copy() }
}
