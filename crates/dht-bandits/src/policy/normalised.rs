//! A policy with the scaling of its contexts.

use super::propensity::UnreadDraws;
use super::{Actions, ArmSet, Choice, Decision, Policy, Propensity, Request};
use crate::arm::ArmId;
use crate::arm_set::SlotSpace;
use crate::clock::{add_counts, check_epoch};
use crate::error::{Error, Result};
use crate::features::{Normalizer, NormalizerOptions};
use crate::validate::{check_context, check_finite, check_parameter, check_scalar, check_weight};
use rand::{Rng, RngExt};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// A policy and the one scaling of its contexts: requests and decisions hold raw contexts, the policy inside sees them
/// normalised.
///
/// Until `warm_up` rewards have arrived arms are drawn uniformly, with their propensities, and the rewards are kept; then
/// the scaling is frozen and the policy learns them all in it, but those that it would refuse in it. So no posterior ever sees two scalings, whose contract
/// [`Normalizer`] states, and because decisions hold the raw context a log can be read again by a policy with another
/// scaling. Features of actions are not scaled. Choosing allocates a context.
///
/// ```
/// use dht_bandits::{LinUcb, Policy, Request, RidgeOptions, Ucb, features::NormalizerOptions, policy::Normalised};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// // Two raw values and a bias column.
/// let inner = LinUcb::new(3, 2, RidgeOptions::default(), Ucb { alpha: 0.5 })?;
/// let mut policy = Normalised::new(inner, 2, NormalizerOptions::default(), 10, true)?;
/// for round in 0..20 {
///     let raw = [1e6 + f64::from(round), -0.001 * f64::from(round % 3)];
///     let decision = policy.decide(&Request::new(&raw), &mut rng)?;
///     assert_eq!(decision.context, raw);
///     policy.learn(&decision, 1.0)?;
/// }
/// assert!(policy.normalizer().is_frozen());
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Serialize)]
pub struct Normalised<P> {
    normalizer: Normalizer,
    bias: bool,
    // Features of an arm that the length of the inner policy's contexts counts.
    features: usize,
    warm_up: u64,
    // Rewards that came before the scaling was frozen.
    waiting: Vec<Waiting>,
    // Rewards of the warm-up that the policy inside never learned: their arms were removed before it was over, or it refused them in
    // the final scaling.
    left_out: u64,
    inner: P,
}

/// A reward that waits for the scaling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiting {
    arm: ArmId,
    context: Vec<f64>,
    reward: f64,
    weight: f64,
}

impl<P: Policy + Clone> Normalised<P> {
    /// A policy behind a scaling of contexts of length `raw`, which is frozen after `warm_up` rewards. With `bias` a
    /// constant 1 is appended to the normalised context.
    ///
    /// # Errors
    /// A policy whose contexts do not have the length of the normalised ones; no warm-up or one of more than 16,777,216
    /// rewards; a setting out of its range.
    pub fn new(inner: P, raw: usize, options: NormalizerOptions, warm_up: u64, bias: bool) -> Result<Self> {
        Self::with_features(inner, raw, 0, options, warm_up, bias)
    }

    /// As [`new`](Self::new), for a policy with shared weights, the length of whose contexts counts so many features of
    /// an arm. They follow the context and are not scaled.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_features(
        inner: P,
        raw: usize,
        features: usize,
        options: NormalizerOptions,
        warm_up: u64,
        bias: bool,
    ) -> Result<Self> {
        let normalizer = Normalizer::new(raw, options)?;
        let policy = Self { normalizer, bias, features, warm_up, waiting: Vec::new(), left_out: 0, inner };
        policy.check()?;
        Ok(policy)
    }

    fn check(&self) -> Result<()> {
        check_parameter("warm-up", self.warm_up as f64, (1..=1 << 24).contains(&self.warm_up), "from 1 to 16777216")?;
        let scaled = self.normalizer.dimension() + usize::from(self.bias);
        let (expected, got) = (scaled.saturating_add(self.features), self.inner.dimension());
        if got != expected {
            return Err(Error::Dimension { what: "context of the policy inside", expected, got });
        }
        Ok(())
    }

    /// The scaling.
    pub fn normalizer(&self) -> &Normalizer {
        &self.normalizer
    }

    /// The policy inside, which sees normalised contexts.
    pub fn inner(&self) -> &P {
        &self.inner
    }

    /// The policy inside, to add and remove arms. What it is taught directly must be normalised.
    pub fn inner_mut(&mut self) -> &mut P {
        &mut self.inner
    }

    /// What the policy inside learns from: the normalised context, and what follows it in a decision.
    pub(super) fn scaled(&self, context: &[f64]) -> Result<Vec<f64>> {
        let raw = self.normalizer.dimension();
        if context.len() < raw {
            return Err(Error::Dimension { what: "context", expected: raw, got: context.len() });
        }
        let (context, rest) = context.split_at(raw);
        let mut scaled = self.normalizer.normalise(context)?;
        if self.bias {
            scaled.push(1.0);
        }
        scaled.extend_from_slice(rest);
        Ok(scaled)
    }

    fn is_warm(&self) -> bool {
        self.normalizer.is_frozen()
    }

    /// Freezes the scaling and lets the policy learn in it what has waited, and the last reward.
    ///
    /// What has waited was accepted in the scaling of its time. Where the policy refuses it in the final one, or after the others, it is left
    /// out: nothing that came earlier may keep the policy from learning.
    fn freeze(&mut self, mut normalizer: Normalizer, last: Waiting) -> Result<()> {
        normalizer.freeze();
        let waited = || Self { normalizer: normalizer.clone(), ..self.clone() };
        let mut warm = waited();
        warm.learn_waiting();
        if warm.learn_one(&last).is_err() {
            // Its own fault, or that of what has waited?
            warm = waited();
            warm.learn_one(&last)?;
            warm.learn_waiting();
        }
        *self = warm;
        Ok(())
    }

    fn learn_one(&mut self, Waiting { arm, context, reward, weight }: &Waiting) -> Result<()> {
        let context = self.scaled(context)?;
        self.inner.update(*arm, &context, *reward, *weight)
    }

    /// Those of removed arms are among what is left out. The rewards came all the same: the version never falls.
    fn learn_waiting(&mut self) {
        for waiting in std::mem::take(&mut self.waiting) {
            if self.learn_one(&waiting).is_err() {
                self.left_out = self.left_out.saturating_add(1);
            }
        }
    }

    /// The arms of a request, all with the same probability, as long as there is no scaling.
    fn uniform(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        // What the policy inside would refuse is refused now. Its own propensities, integrals perhaps, are not needed.
        let scaled = self.scaled(request.context)?;
        self.inner.select(&Request { context: &scaled, ..*request }, &mut UnreadDraws::default())?;
        let all = |arms: &mut dyn ExactSizeIterator<Item = ArmId>| {
            let probability = 1.0 / arms.len() as f64;
            arms.map(|arm| Propensity::exact(arm, probability)).collect()
        };
        if let (Actions::Featured(featured), true) = (request.actions, self.inner.keeps_features()) {
            return Ok(all(&mut featured.ids().iter().copied()));
        }
        let mut space = SlotSpace::default();
        let arms = self.inner.arms();
        let slots: Vec<usize> = arms.resolve(request.actions.available(), &mut space)?.iter().collect();
        Ok(all(&mut slots.iter().map(|&slot| arms.id(slot))))
    }

    /// Whether a decision was drawn in the warm-up.
    pub(super) fn was_drawn(&self, decision: &Decision) -> bool {
        decision.choice.version < self.warm_up
    }

    /// Draws one of the arms uniformly, as long as there is no scaling.
    fn draw(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Decision> {
        let propensities = self.uniform(request)?;
        let position = rng.random_range(0..propensities.len());
        let Propensity { arm, probability, .. } = propensities[position];
        let (version, epoch) = (self.version(), self.epoch());
        let propensity = Some(probability);
        let choice = Choice { arm, version, score: 0.0, mean: 0.0, width: 0.0, propensity, epoch };
        let mut decision = choice.with_context(request.context);
        if let Actions::Featured(featured) = request.actions
            && self.inner.keeps_features()
            && let Some(row) = featured.ids().iter().position(|id| *id == arm).and_then(|row| featured.row(row))
        {
            decision.context.extend_from_slice(row);
        }
        Ok(decision)
    }
}

impl<P: Policy + Clone> Policy for Normalised<P> {
    /// Of the raw context.
    fn dimension(&self) -> usize {
        self.normalizer.dimension()
    }

    fn arms(&self) -> &ArmSet {
        self.inner.arms()
    }

    /// The number of rewards that came, those of the warm-up too, whether or not their arms were removed before it was over.
    fn version(&self) -> u64 {
        self.inner.version().saturating_add(self.waiting.len() as u64).saturating_add(self.left_out)
    }

    fn epoch(&self) -> u64 {
        self.inner.epoch()
    }

    fn keeps_features(&self) -> bool {
        self.inner.keeps_features()
    }

    fn select(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Choice> {
        check_finite("context", request.context, self.dimension())?;
        if !self.is_warm() {
            return Ok(self.draw(request, rng)?.choice);
        }
        let scaled = self.scaled(request.context)?;
        let choice = self.inner.select(&Request { context: &scaled, ..*request }, rng)?;
        Ok(Choice { version: choice.version.saturating_add(self.left_out), ..choice })
    }

    fn decide(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Decision> {
        check_finite("context", request.context, self.dimension())?;
        if !self.is_warm() {
            return self.draw(request, rng);
        }
        let scaled = self.scaled(request.context)?;
        let mut decision = self.inner.decide(&Request { context: &scaled, ..*request }, rng)?;
        decision.choice.version = decision.choice.version.saturating_add(self.left_out);
        // What follows the context, such as features of the arm, stays.
        decision.context.splice(..scaled.len().min(decision.context.len()), request.context.iter().copied());
        Ok(decision)
    }

    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        check_finite("context", request.context, self.dimension())?;
        if !self.is_warm() {
            return self.uniform(request);
        }
        let scaled = self.scaled(request.context)?;
        self.inner.propensities(&Request { context: &scaled, ..*request })
    }

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        let scaled = self.scaled(context)?;
        if self.is_warm() {
            return self.inner.update(arm, &scaled, reward, weight);
        }
        // What the policy inside would refuse is refused now, while it can still be told which reward it was.
        if !self.inner.check_update(arm, &scaled, reward, weight)? {
            self.inner.clone().update(arm, &scaled, reward, weight)?;
        }
        check_context(context)?;
        check_scalar("reward", reward)?;
        check_weight(weight)?;
        add_counts("version", self.version(), 1)?;
        let mut normalizer = self.normalizer.clone();
        normalizer.observe(&context[..self.dimension()])?;
        let last = Waiting { arm, context: context.to_vec(), reward, weight };
        if self.waiting.len() as u64 + 1 < self.warm_up {
            self.normalizer = normalizer;
            self.waiting.push(last);
            return Ok(());
        }
        self.freeze(normalizer, last)
    }

    fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
        if !self.is_warm() {
            check_epoch(decision.choice.epoch, self.epoch())?;
            return self.update(decision.arm(), &decision.context, reward, 1.0);
        }
        let context = self.scaled(&decision.context)?;
        // What was drawn in the warm-up predicted nothing: a test of predictions shall not see it.
        if self.was_drawn(decision) {
            check_epoch(decision.choice.epoch, self.epoch())?;
            return self.inner.update(decision.arm(), &context, reward, 1.0);
        }
        // The policy inside may learn more from a decision than from a bare update.
        self.inner.learn(&Decision { choice: decision.choice, context }, reward)
    }
}

/// As it is saved.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NormalisedState<P> {
    normalizer: Normalizer,
    bias: bool,
    features: usize,
    warm_up: u64,
    waiting: Vec<Waiting>,
    #[serde(default)]
    left_out: u64,
    inner: P,
}

impl<'de, P: Policy + Clone + Deserialize<'de>> Deserialize<'de> for Normalised<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let state = NormalisedState::deserialize(deserializer)?;
        let NormalisedState { normalizer, bias, features, warm_up, waiting, left_out, inner } = state;
        let (frozen, kept) = (normalizer.is_frozen(), waiting.len() as u64);
        let policy = Self { normalizer, bias, features, warm_up, waiting, left_out, inner };
        policy.check().map_err(D::Error::custom)?;
        if left_out > warm_up || (!frozen && left_out > 0) {
            let problem =
                format!("{left_out} were left out of a warm-up of {warm_up} that is not over, or not as long");
            let error = Error::InvalidState { what: "rewards of the warm-up", index: 0, problem };
            return Err(D::Error::custom(error));
        }
        if kept >= warm_up || (frozen && kept > 0) {
            let problem = format!("{kept} rewards wait for a scaling that is due after {warm_up}");
            let error = Error::InvalidState { what: "rewards of the warm-up", index: 0, problem };
            return Err(D::Error::custom(error));
        }
        let mut learned = policy.clone();
        let check = |waiting: &Waiting| {
            policy.scaled(&waiting.context)?;
            check_context(&waiting.context)?;
            check_scalar("reward", waiting.reward)?;
            check_weight(waiting.weight)?;
            // What no scaling makes right is refused. Those of arms that were removed since are left out when the scaling is frozen, and so
            // is what the final scaling does not allow.
            match learned.learn_one(waiting) {
                Err(wrong @ (Error::Dimension { .. } | Error::UnknownArm { .. } | Error::Reward { .. })) => Err(wrong),
                _ => Ok(()),
            }
        };
        policy.waiting.iter().try_for_each(check).map_err(D::Error::custom)?;
        Ok(policy)
    }
}
