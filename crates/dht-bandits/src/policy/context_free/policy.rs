//! Policy that ignores contexts and estimates only the mean reward of each arm.

use rand::Rng;

use super::rule::ArmStatistics;
use super::rule::ContextFreeRule;
use crate::arm::ArmId;
use crate::arm_set::{ArmSet, SlotSpace, Slots};
use crate::clock::Clock;
use crate::decision::{Choice, Decision, Propensity, QUADRATURE_ERROR, Request};
use crate::error::Result;
use crate::gaussian::Score;
use crate::policy::Policy;
use crate::policy::forward::manages_arms;
use crate::policy::propensity::{Law, inclusion, inclusion_of};
use crate::validate::{check_scalar, check_sum, check_weight, reserve};

/// Purpose of the allocated memory, as named in out-of-memory errors.
const REWARDS: &str = "rewards of the arms";

/// Policy that ignores contexts and features. It stores only the total weight and the weighted sum of each arm's
/// rewards. A choice costs O(1) per arm and does not allocate.
///
/// Decisions store an empty context. Use this policy as a baseline: a contextual policy is worth its cost only if it
/// earns more.
///
/// ```
/// use dht_bandits::policy::{BetaThompson, ContextFree};
/// use dht_bandits::{Policy, Request};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let mut policy = ContextFree::new(3, BetaThompson::default())?;
/// let decision = policy.decide(&Request::new(&[]), &mut rng)?;
/// policy.learn(&decision, 1.0)?;
/// let propensities = policy.propensities(&Request::new(&[]))?;
/// // Beta(2, 1) against two of Beta(1, 1): 2∫v³dv.
/// assert!((propensities[decision.arm().number() as usize].probability - 0.5).abs() < 1e-9);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ContextFree<R: ContextFreeRule> {
    pub(super) rule: R,
    pub(super) arms: ArmSet,
    // Statistics of each arm, by slot.
    pub(super) learned: Vec<ArmStatistics>,
    // Weight of all rewards, including those of removed arms.
    pub(super) total: f64,
    pub(super) clock: Clock,
}

impl<R: ContextFreeRule> ContextFree<R> {
    /// Creates a policy with the arms 0 to `arms` − 1.
    ///
    /// # Errors
    /// Fails if there are more than 16,777,216 arms, if a setting is out of its range, or if memory cannot be allocated
    /// ([`Error::Memory`](crate::Error::Memory)).
    pub fn new(arms: usize, rule: R) -> Result<Self> {
        rule.check()?;
        let (set, mut learned) = (ArmSet::new(arms)?, Vec::new());
        reserve(REWARDS, &mut learned, Some(arms))?;
        learned.resize(arms, ArmStatistics::default());
        Ok(Self { rule, arms: set, learned, total: 0.0, clock: Clock::default() })
    }

    /// Rule by which the policy chooses: [`Ucb1`](super::Ucb1) or [`BetaThompson`](super::BetaThompson).
    pub fn rule(&self) -> &R {
        &self.rule
    }

    /// Replaces the rule with one of the same type and other settings; the learned state stays.
    ///
    /// # Errors
    /// Fails if a setting is out of its range.
    pub fn set_rule(&mut self, rule: R) -> Result<()> {
        rule.check()?;
        self.rule = rule;
        Ok(())
    }

    /// Mean and width of an arm's reward under the policy's rule.
    ///
    /// # Errors
    /// Fails if the arm is unknown or removed.
    pub fn score(&self, arm: ArmId) -> Result<Score> {
        let (mean, width) = self.rule.moments(&self.learned[self.arms.slot(arm)?], self.total);
        Ok(Score { mean, width })
    }

    fn reserve_arm(&mut self, _like: Option<usize>) -> Result<()> {
        reserve(REWARDS, &mut self.learned, Some(1))
    }

    fn push_arm(&mut self, _arm: ArmId, like: Option<usize>) {
        self.learned.push(like.map_or_else(ArmStatistics::default, |slot| self.learned[slot]));
    }

    fn copy_slot(&mut self, from: usize, to: usize) -> Result<()> {
        self.learned[to] = self.learned[from];
        Ok(())
    }

    fn remove_slot(&mut self, _arm: ArmId, slot: usize) {
        self.learned.swap_remove(slot);
    }

    /// Checks a reward. Returns the slot (position in memory) of its arm, the arm's new statistics, and the new total
    /// weight of all rewards.
    fn after(&self, arm: ArmId, reward: f64, weight: f64) -> Result<(usize, ArmStatistics, f64)> {
        self.rule.check_reward(reward)?;
        check_weight(weight)?;
        let slot = self.arms.slot(arm)?;
        let before = self.learned[slot];
        let after = ArmStatistics { weight: before.weight + weight, sum: before.sum + weight * reward };
        check_sum("sum of rewards", after.sum)?;
        let total = self.total + weight;
        check_sum("weight of all rewards", total)?;
        Ok((slot, after, total))
    }

    /// Distribution of the value by which each available arm is ranked.
    fn laws(&self, slots: Slots<'_>) -> Vec<Law> {
        slots.iter().map(|slot| self.rule.law(&self.learned[slot], self.total)).collect()
    }
}

impl<R: ContextFreeRule> Policy for ContextFree<R> {
    manages_arms!(self);

    fn dimension(&self) -> usize {
        0
    }

    fn takes_sparse_contexts(&self) -> bool {
        true
    }

    fn select(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Choice> {
        let mut space = SlotSpace::default();
        let slots = self.arms.resolve(request.actions.available(), &mut space)?;
        let (mut best, mut certain) = (crate::policy::choose::Best::new(), true);
        for slot in slots.iter() {
            let arm = &self.learned[slot];
            let (mean, width) = self.rule.moments(arm, self.total);
            let value = self.rule.value(arm, self.total, rng);
            best = best.or(slot, value, Score { mean, width }, rng);
            // If the value of one arm is drawn, the choice is random, whichever arm wins.
            certain &= matches!(self.rule.law(arm, self.total), Law::Point(_));
        }
        check_scalar("score", best.value)?;
        let Clock { version, epoch } = self.clock;
        Ok(Choice {
            arm: self.arms.id(best.slot),
            version,
            score: best.value,
            mean: best.score.mean,
            width: best.score.width,
            propensity: certain.then(|| 1.0 / f64::from(best.ties)),
            epoch,
            propensity_error: 0.0,
        })
    }

    fn decide(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Decision> {
        let mut choice = self.select(request, rng)?;
        if choice.propensity.is_none() {
            let mut space = SlotSpace::default();
            let slots = self.arms.resolve(request.actions.available(), &mut space)?;
            let position = slots.iter().position(|slot| self.arms.id(slot) == choice.arm).unwrap_or_default();
            choice.propensity = Some(inclusion_of(&self.laws(slots), position, &[1.0]));
            choice.propensity_error = QUADRATURE_ERROR;
        }
        Ok(choice.with_context(&[]))
    }

    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        let mut space = SlotSpace::default();
        let slots = self.arms.resolve(request.actions.available(), &mut space)?;
        let laws = self.laws(slots);
        let standard_error = if laws.iter().all(|law| matches!(law, Law::Point(_))) { 0.0 } else { QUADRATURE_ERROR };
        let entry = |(slot, probability)| Propensity { arm: self.arms.id(slot), probability, standard_error };
        Ok(slots.iter().zip(inclusion(&laws, &[1.0])).map(entry).collect())
    }

    fn update(&mut self, arm: ArmId, _: &[f64], reward: f64, weight: f64) -> Result<()> {
        let (slot, after, total) = self.after(arm, reward, weight)?;
        self.clock = self.clock.after(1)?;
        (self.learned[slot], self.total) = (after, total);
        Ok(())
    }

    fn check_update(&self, arm: ArmId, _: &[f64], reward: f64, weight: f64) -> Result<bool> {
        self.after(arm, reward, weight)?;
        self.clock.after(1)?;
        Ok(true)
    }
}
