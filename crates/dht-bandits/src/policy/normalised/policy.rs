//! Policy that scales its contexts and, optionally, its rewards.

use std::sync::OnceLock;

use rand::Rng;

use super::copied_arms::{CopiedArm, inherit, teach_all};
use super::scaling::Scaling;
use super::waiting::StoredReward;
use crate::arm::ArmId;
use crate::clock::{add_counts, check_epoch};
use crate::decision::{Choice, Decision, Feedback, Propensity, Request, Slate};
use crate::error::{Error, Result};
use crate::features::Normalizer;
use crate::policy::interface::ClonePolicy;
use crate::policy::{ArmSet, Explanation, Observation, Policy};
use crate::validate::{check_context, check_finite, check_parameter, check_scalar, check_weight};

/// Policy that normalises its contexts: requests and decisions contain raw contexts, and the inner policy gets
/// normalised ones.
///
/// The first `warm_up` rewards are stored, and the scaling is provisional. It is recomputed from all stored contexts
/// after 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, … rewards (a quarter more each time). A copy of the inner policy learns
/// all stored rewards in this scaling and makes the decisions, so that the warm-up needs no uniform draws. After
/// `warm_up` rewards the scaling is frozen. The inner policy then learns the stored rewards, except those that it
/// refuses in the final scaling. No posterior ever learns in two scalings, as the contract of [`Normalizer`] requires.
///
/// [`with_scaled_rewards`](Self::with_scaled_rewards) normalises rewards in the same way, so that the parameters α, γ
/// and τ of exploration rules have the same effect for rewards of any scale and offset. If rewards are rare events, all
/// rewards of the warm-up may be equal. The mean of the rewards is then frozen, and their scale σ is set by the first
/// reward that differs: σ² is the mean of (reward − mean)² over all rewards so far. Until then the inner policy has
/// learned (reward − mean)/σ = 0, which is the same for any σ.
///
/// Decisions contain the raw context, which [`learn`](Policy::learn) scales, so that a log can be replayed by a policy
/// with another scaling. Features of arms are not scaled. A choice allocates the scaled context. A warm-up of n rewards
/// costs about 6n updates in total.
///
/// ```
/// use dht_bandits::{LinUcb, Normalizer, Policy, Request, Ridge, Ucb, policy::Normalised};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// // Two raw values and a bias column.
/// let inner = LinUcb::new(3, 2, Ridge::default(), Ucb { alpha: 0.5 })?;
/// let mut policy = Normalised::new(inner, Normalizer::new(2)?, 10, true)?;
/// for round in 0..20 {
///     let raw = [1e6 + f64::from(round), -0.001 * f64::from(round % 3)];
///     let decision = policy.decide(&Request::new(&raw), &mut rng)?;
///     assert_eq!(decision.context, raw);
///     policy.learn(&decision, 1.0)?;
/// }
/// assert!(policy.normalizer().is_frozen());
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Normalised<P> {
    pub(super) scaling: Scaling,
    // Number of an arm's features that are part of the inner policy's contexts.
    pub(super) features: usize,
    pub(super) warm_up: u64,
    // Rewards that arrived before the scaling was frozen.
    pub(super) waiting: Vec<StoredReward>,
    // Arms that were added as copies of another arm during the warm-up, in the order of their additions.
    pub(super) copies: Vec<CopiedArm>,
    // Number of rewards of the warm-up that the inner policy never learned: their arms were removed before the warm-up
    // ended, or the policy refused them in the final scaling.
    pub(super) left_out: u64,
    // The inner policy learns the rewards of the warm-up only when the scaling is frozen.
    pub(super) inner: P,
    // Computed from `inner` and `waiting` on demand, and not saved.
    pub(super) provisional: OnceLock<Box<Provisional<P>>>,
}

/// Copy of the inner policy that has learned the stored rewards in a provisional scaling of contexts.
#[derive(Debug, Clone)]
pub(super) struct Provisional<P> {
    scaling: Scaling,
    policy: P,
}

/// Number of stored rewards at which the policy with provisional scaling was last rebuilt: the largest of 1, 2, 3, 4,
/// 5, 6, 7, 8, 10, 12, 15, … that is not above `count`.
fn last_rebuild(count: usize) -> usize {
    let next = |at: usize| at + (at / 4).max(1);
    let mut at = 1;
    while next(at) <= count {
        at = next(at);
    }
    at
}

impl<P: Policy + Clone + 'static> Normalised<P> {
    /// Creates a policy whose contexts are scaled by a normalizer, which is frozen after `warm_up` rewards. Only the
    /// dimension and the settings of `normalizer` are used. With `bias`, a constant 1 is appended to the normalised
    /// context.
    ///
    /// # Errors
    /// Fails if the contexts of `inner` do not have the length of normalised contexts, if the warm-up is zero or more
    /// than 16,777,216 rewards, or if the normalizer has already observed contexts.
    pub fn new(inner: P, normalizer: Normalizer, warm_up: u64, bias: bool) -> Result<Self> {
        Self::with_features(inner, 0, normalizer, warm_up, bias)
    }

    /// Creates a policy as [`new`](Self::new) does, for an inner policy whose arms share weights. The inner policy's
    /// contexts end with `features` features of an arm, which are not scaled.
    ///
    /// # Errors
    /// Fails as [`new`](Self::new) does.
    pub fn with_features(inner: P, features: usize, normalizer: Normalizer, warm_up: u64, bias: bool) -> Result<Self> {
        let observed = normalizer.weight();
        check_parameter("contexts observed", observed, observed == 0.0, "0: the warm-up observes its own")?;
        let scaling = Scaling { contexts: normalizer.blank(), bias, rewards: None };
        let (waiting, copies, provisional) = (Vec::new(), Vec::new(), OnceLock::new());
        let policy = Self { scaling, features, warm_up, waiting, copies, left_out: 0, inner, provisional };
        policy.check()?;
        Ok(policy)
    }

    /// Enables scaling of rewards: the inner policy learns (reward − mean)/deviation, and must accept any real reward.
    /// Scores, means and widths of choices stay in units of raw rewards. While all rewards are equal, the deviation is
    /// 1.
    ///
    /// ```
    /// use dht_bandits::{LinUcb, Normalizer, Policy, Request, Ridge, Ucb, policy::Normalised};
    /// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    ///
    /// let mut rng = ChaCha8Rng::seed_from_u64(7);
    /// let inner = LinUcb::new(2, 2, Ridge::default(), Ucb { alpha: 0.5 })?;
    /// let mut policy = Normalised::new(inner, Normalizer::new(1)?, 10, true)?.with_scaled_rewards()?;
    /// for round in 0..20 {
    ///     let decision = policy.decide(&Request::new(&[f64::from(round % 3)]), &mut rng)?;
    ///     policy.learn(&decision, 1e6 + f64::from(round % 2))?;
    /// }
    /// // Means of choices are in units of raw rewards.
    /// let choice = policy.select(&Request::new(&[1.0]), &mut rng)?;
    /// assert!((choice.mean - 1e6).abs() < 10.0);
    /// # Ok::<(), dht_bandits::Error>(())
    /// ```
    ///
    /// # Errors
    /// Fails if the policy has already learned rewards.
    pub fn with_scaled_rewards(mut self) -> Result<Self> {
        let version = self.version() as f64;
        check_parameter("rewards learned", version, version == 0.0, "0 to scale rewards")?;
        self.scaling.rewards = Some(Box::new(Normalizer::new(1)?));
        Ok(self)
    }

    pub(super) fn check(&self) -> Result<()> {
        check_parameter("warm-up", self.warm_up as f64, (1..=1 << 24).contains(&self.warm_up), "from 1 to 16777216")?;
        let scaled = self.dimension() + usize::from(self.scaling.bias);
        let (expected, got) = (scaled.saturating_add(self.features), self.inner.dimension());
        if got != expected {
            return Err(Error::Dimension { what: "context of the policy inside", expected, got });
        }
        Ok(())
    }

    /// Normalizer of the contexts. Until it is frozen, it observes every context whose reward arrives.
    pub fn normalizer(&self) -> &Normalizer {
        &self.scaling.contexts
    }

    pub(in crate::policy) fn scaling(&self) -> &Scaling {
        &self.scaling
    }

    /// Inner policy, which gets normalised contexts. It is untrained until the scaling is frozen.
    pub fn inner(&self) -> &P {
        &self.inner
    }

    /// Inner policy, with mutable access. Observations that it learns directly must be normalised. Add and remove arms
    /// by the methods of this `Normalised` policy instead of the methods of the inner policy. During the warm-up (while
    /// the scaling is provisional) the inner policy has no learned state and cannot copy an arm. If it then removes an
    /// arm directly, copies of that arm stay untrained.
    pub fn inner_mut(&mut self) -> &mut P {
        self.provisional.take();
        &mut self.inner
    }

    pub(super) fn is_warm(&self) -> bool {
        self.scaling.contexts.is_frozen()
    }

    /// Returns whether the scalings of contexts and rewards are final.
    pub(in crate::policy) fn is_settled(&self) -> bool {
        self.is_warm() && !self.scaling.waits_for_rewards()
    }

    /// Scaling and policy that currently make the decisions. Both are provisional until `warm_up` rewards have arrived.
    fn current(&self) -> (&Scaling, &P) {
        if self.is_warm() || self.waiting.is_empty() {
            return (&self.scaling, &self.inner);
        }
        let Provisional { scaling, policy } = &**self.provisional.get_or_init(|| self.rebuild());
        (scaling, policy)
    }

    /// Builds the provisional scaling and policy. The result depends only on the stored rewards and the inner policy,
    /// so that saving and loading do not change decisions.
    fn rebuild(&self) -> Box<Provisional<P>> {
        let mut scaling = self.scaling.blank();
        for StoredReward { context, reward, .. } in &self.waiting[..last_rebuild(self.waiting.len())] {
            // The reward was accepted when it arrived, after the same rewards.
            let _ = scaling.observe(context, *reward);
        }
        scaling.freeze();
        let mut provisional = Box::new(Provisional { scaling, policy: self.inner.clone() });
        let Provisional { scaling, policy } = &mut *provisional;
        // A reward that the policy refuses in this scaling may be learned in a later one.
        teach_all(&self.waiting, &self.copies, scaling, policy, drop);
        provisional
    }

    /// Converts an observation from raw to scaled contexts and rewards.
    fn scaled_observation(&self, observation: &Observation) -> Result<Observation> {
        let (choice, context) = (observation.decision.choice, self.scaling.context(&observation.decision.context)?);
        let decision = Decision { choice: self.scaling.scaled_choice(choice), context };
        Ok(Observation { decision, reward: self.scaling.reward(observation.reward)?, weight: observation.weight })
    }

    /// Returns whether a decision was made during the warm-up, in a provisional scaling.
    fn is_of_warm_up(&self, decision: &Decision) -> bool {
        decision.choice.version < self.warm_up
    }

    /// Freezes the scaling, and learns the stored rewards and the reward `last` in this scaling.
    ///
    /// When a stored reward arrived, the policy accepted it in a provisional scaling. If the policy refuses it in the
    /// final scaling, the reward is left out, and the policy learns the others.
    fn freeze(&mut self, mut scaling: Scaling, last: &StoredReward) -> Result<()> {
        scaling.freeze();
        let blank = || Self {
            scaling: scaling.clone(),
            waiting: self.waiting.clone(),
            copies: self.copies.clone(),
            inner: self.inner.clone(),
            provisional: OnceLock::new(),
            ..*self
        };
        let mut warm = blank();
        warm.learn_waiting();
        if last.teach(&warm.scaling, &mut warm.inner).is_err() {
            // The last reward was refused: is it invalid itself, or only after the stored ones?
            warm = blank();
            last.teach(&warm.scaling, &mut warm.inner)?;
            warm.learn_waiting();
        }
        *self = warm;
        Ok(())
    }

    /// Learns the stored rewards. Refused rewards, such as rewards of removed arms, are left out. They still count as
    /// updates in the policy's version, which never decreases.
    fn learn_waiting(&mut self) {
        let (waiting, copies) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.copies));
        let Self { scaling, left_out, inner, .. } = self;
        teach_all(&waiting, &copies, scaling, inner, |_| *left_out = left_out.saturating_add(1));
    }

    /// Learns a reward while all rewards so far are equal, so that their scale is not yet known.
    fn update_waiting(&mut self, arm: ArmId, scaled: &[f64], reward: f64, weight: f64) -> Result<()> {
        let rewards = self.scaling.rewards_after(reward)?;
        let before = std::mem::replace(&mut self.scaling.rewards, rewards);
        let learned = self.scaling.reward(reward).and_then(|reward| self.inner.update(arm, scaled, reward, weight));
        if learned.is_err() {
            self.scaling.rewards = before;
        }
        learned
    }

    /// Converts a choice of the inner policy to units of raw rewards, with the version of this policy.
    fn raw_choice(&self, scaling: &Scaling, choice: Choice) -> Choice {
        Choice { version: self.version(), ..scaling.raw_choice(choice) }
    }
}

impl<P: Policy> Provisional<P> {
    /// Learns a stored reward, unless the policy refuses it in the current provisional scaling. A refused reward may be
    /// learned in a later scaling.
    fn learn(&mut self, waiting: &StoredReward) {
        let _ = waiting.teach(&self.scaling, &mut self.policy);
    }
}

impl<P: Policy + Clone + 'static> Policy for Normalised<P> {
    fn add_arm(&mut self) -> Result<ArmId> {
        self.inner_mut().add_arm()
    }

    fn insert_arm(&mut self, arm: ArmId) -> Result<()> {
        self.inner_mut().insert_arm(arm)
    }

    /// Adds an arm with a copy of the learned state of `like`. This is also possible during the warm-up, while the
    /// scaling is provisional.
    ///
    /// # Errors
    /// Fails as [`Policy::add_arm_like`] does. During the warm-up, also fails as [`Policy::warm_start`] of the inner
    /// policy does.
    fn add_arm_like(&mut self, like: ArmId) -> Result<ArmId> {
        let (in_warm_up, at) = (!self.is_warm(), self.waiting.len());
        let inner = self.inner_mut();
        if in_warm_up {
            // A copy that cannot be made is refused now, and not at the end of the warm-up.
            inner.warm_start(like, like)?;
        }
        let arm = inner.add_arm_like(like)?;
        if in_warm_up {
            self.copies.push(CopiedArm { arm, like, at });
        }
        Ok(arm)
    }

    /// Replaces the learned state of the arm `to` with a copy of the learned state of the arm `from`.
    ///
    /// # Errors
    /// Fails as [`Policy::warm_start`] does. [`Error::Unsupported`] during the warm-up, while the scaling is
    /// provisional.
    fn warm_start(&mut self, to: ArmId, from: ArmId) -> Result<()> {
        if self.is_warm() {
            self.inner_mut().warm_start(to, from)
        } else {
            Err(Error::Unsupported { what: "copying arms in a warm-up, except into new ones (`add_arm_like`)" })
        }
    }

    /// Removes an arm permanently. Its rewards from the warm-up, before the scaling was final, are dropped, unless they
    /// were passed on to an arm that was added as a copy.
    fn remove_arm(&mut self, arm: ArmId) -> Result<()> {
        self.inner_mut().remove_arm(arm)?;
        inherit(&mut self.waiting, &mut self.copies, arm);
        Ok(())
    }

    fn expire_decisions(&mut self) -> Result<()> {
        self.inner_mut().expire_decisions()
    }

    /// Learns several rewards with one call of the inner policy's `learn_batch`. During the warm-up, while the scaling
    /// is provisional, rewards are learned one by one. This is also done later if one of the decisions was made during
    /// the warm-up. Rewards of such decisions are learned by `update` and not by `learn`.
    fn learn_batch(&mut self, observations: &[Observation]) -> Result<()> {
        let of_warm_up = |observation: &Observation| self.is_of_warm_up(&observation.decision);
        if !self.is_settled() || observations.iter().any(of_warm_up) {
            return self.learn_in_order(observations);
        }
        let scaled = |observation: &Observation| self.scaled_observation(observation);
        let scaled = observations.iter().map(scaled).collect::<Result<Vec<_>>>()?;
        self.inner.learn_batch(&scaled)
    }

    fn dimension(&self) -> usize {
        self.scaling.contexts.dimension()
    }

    fn arms(&self) -> &ArmSet {
        self.inner.arms()
    }

    /// Number of rewards that arrived. Rewards of the warm-up (before the scaling is final) count even if the policy
    /// refused them later.
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
        let (scaling, policy) = self.current();
        let scaled = scaling.context(request.context)?;
        let choice = policy.select(&request.with_context(&scaled), rng)?;
        Ok(self.raw_choice(scaling, choice))
    }

    fn decide(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Decision> {
        check_finite("context", request.context, self.dimension())?;
        let (scaling, policy) = self.current();
        let scaled = scaling.context(request.context)?;
        let mut decision = policy.decide(&request.with_context(&scaled), rng)?;
        decision.choice = self.raw_choice(scaling, decision.choice);
        // Values after the context, such as features of the arm, stay.
        decision.context.splice(..scaled.len().min(decision.context.len()), request.context.iter().copied());
        Ok(decision)
    }

    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        check_finite("context", request.context, self.dimension())?;
        let (scaling, policy) = self.current();
        let scaled = scaling.context(request.context)?;
        policy.propensities(&request.with_context(&scaled))
    }

    fn explain(&self, decision: &Decision) -> Result<Explanation> {
        check_finite("context", &decision.context, decision.context.len())?;
        let (scaling, policy) = self.current();
        let context = scaling.context(&decision.context)?;
        let explanation = policy.explain(&Decision { choice: decision.choice, context })?;
        Ok(scaling.raw_explanation(explanation))
    }

    fn select_slate(&self, k: usize, request: &Request<'_>, rng: &mut dyn Rng, slate: &mut Slate) -> Result<()> {
        slate.clear();
        check_finite("context", request.context, self.dimension())?;
        let (scaling, policy) = self.current();
        let scaled = scaling.context(request.context)?;
        policy.select_slate(k, &request.with_context(&scaled), rng, slate)?;
        scaling.restore_raw(slate, request.context, self.version());
        Ok(())
    }

    fn decide_slate(&self, k: usize, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Slate> {
        check_finite("context", request.context, self.dimension())?;
        let (scaling, policy) = self.current();
        let scaled = scaling.context(request.context)?;
        let mut slate = policy.decide_slate(k, &request.with_context(&scaled), rng)?;
        scaling.restore_raw(&mut slate, request.context, self.version());
        Ok(slate)
    }

    fn slate_propensities(&self, k: usize, request: &Request<'_>) -> Result<Vec<Propensity>> {
        check_finite("context", request.context, self.dimension())?;
        let (scaling, policy) = self.current();
        let scaled = scaling.context(request.context)?;
        policy.slate_propensities(k, &request.with_context(&scaled))
    }

    /// Learns the feedback on a slate as the inner policy does. During the warm-up, while the scaling is provisional,
    /// each observed reward is learned by `update`. Rewards of slates from the warm-up are learned in the same way
    /// later.
    ///
    /// # Errors
    /// Fails if the slate was made in another [epoch](Policy::epoch), if its contexts are missing or have another
    /// length, or if the number of feedbacks differs from the number of chosen arms. Also fails as
    /// [`update`](Policy::update) does. After an error the policy is unchanged.
    fn learn_slate(&mut self, slate: &Slate, feedback: &[Feedback]) -> Result<()> {
        self.learn_slate_raw(slate, feedback)
    }

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        let scaled = self.scaling.context(context)?;
        if self.scaling.waits_for_rewards() {
            return self.update_waiting(arm, &scaled, reward, weight);
        }
        let scaled_reward = self.scaling.reward(reward)?;
        if self.is_warm() {
            return self.inner.update(arm, &scaled, scaled_reward, weight);
        }
        // A reward that the inner policy would refuse is refused now, while the caller knows which reward it is.
        if !self.inner.check_update(arm, &scaled, scaled_reward, weight)? {
            self.inner.clone().update(arm, &scaled, scaled_reward, weight)?;
        }
        check_context(context)?;
        check_scalar("reward", reward)?;
        check_weight(weight)?;
        add_counts("version", self.version(), 1)?;
        let mut scaling = self.scaling.clone();
        scaling.observe(context, reward)?;
        let last = StoredReward { arm, context: context.to_vec(), reward, weight };
        let count = self.waiting.len() + 1;
        if count as u64 >= self.warm_up {
            return self.freeze(scaling, &last);
        }
        self.scaling = scaling;
        if last_rebuild(count) == count {
            self.waiting.push(last);
            self.provisional = OnceLock::from(self.rebuild());
        } else {
            if let Some(provisional) = self.provisional.get_mut() {
                provisional.learn(&last);
            }
            self.waiting.push(last);
        }
        Ok(())
    }

    fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
        if !self.is_settled() || self.is_of_warm_up(decision) {
            // A prediction in another scaling is not evidence for a change test: only the reward is learned.
            check_epoch(decision.choice.epoch, self.epoch())?;
            return self.update(decision.arm(), &decision.context, reward, 1.0);
        }
        // The inner policy may learn more from a decision than from a bare update.
        let Observation { decision, reward, .. } =
            self.scaled_observation(&Observation::new(decision.clone(), reward))?;
        self.inner.learn(&decision, reward)
    }
}
