//! Disjoint policies, with one posterior per arm: LinUCB, linear and logistic Thompson sampling, ε-greedy.

mod drift;
mod merge;
mod select_batch;
mod state;

use super::{Choice, Decision, Observation, Policy};
use crate::arm::{ArmId, Available};
use crate::arm_set::{ArmSet, SlotSpace, Slots};
use crate::clock::{Clock, check_epoch};
use crate::error::Result;
use crate::exploration::{Best, Exploration};
use crate::gaussian::Score;
use crate::posterior::{Posterior, Sample, UpdateBatch};
use crate::validate::{check_finite, check_scalar, check_weight};
use rand::{Rng, RngExt};

pub use merge::Delta;
pub use select_batch::ChoiceBatch;
pub use state::DisjointState;

/// A policy whose arms share nothing: a [`Posterior`] of each arm's weights, and an [`Exploration`] rule.
///
/// `select` costs one O(d²) (or, with a diagonal, O(d)) score per available arm and does not allocate (up to 1,024 arms,
/// or with [`Available::All`]); `update` costs O(d²) (O(d)) for one arm and does not allocate.
///
/// ```
/// use dht_bandits::{Available, LinUcb, RidgeOptions, Ucb};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let mut policy = LinUcb::new(2, 3, RidgeOptions::with_prior_precision(1.0), Ucb { alpha: 0.5 })?;
/// let context = [1.0, 0.2];
/// let decision = policy.decide(&context, Available::All, &mut rng)?; // keep it while the reward is on its way
/// policy.learn(&decision, 1.0)?;
/// assert!(policy.score(decision.arm(), &context)?.mean > 0.0);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Disjoint<P: Posterior, E: Exploration> {
    arms: ArmSet,
    posterior: P,
    exploration: E,
    clock: Clock,
    update_batch: UpdateBatch,
}

impl<P: Posterior, E: Exploration> Disjoint<P, E> {
    /// A policy with the arms 0 to `arms` − 1, each with the prior.
    ///
    /// # Errors
    /// A dimension of zero or beyond 65,536 (16,777,216 with a diagonal), more than 16,777,216 arms, a setting out of
    /// its range.
    pub fn new(dimension: usize, arms: usize, options: P::Options, exploration: E) -> Result<Self> {
        exploration.check()?;
        let mut posterior = P::empty(dimension, &options)?;
        let (set, update_batch) = (ArmSet::new(arms)?, UpdateBatch::default());
        (0..arms).for_each(|_| posterior.push_prior());
        Ok(Self { arms: set, posterior, exploration, clock: Clock::default(), update_batch })
    }

    /// The length of a context.
    pub fn dimension(&self) -> usize {
        self.posterior.dimension()
    }

    /// The arms that exist now.
    pub fn arms(&self) -> &ArmSet {
        &self.arms
    }

    /// The number of updates this policy has learned from.
    pub fn version(&self) -> u64 {
        self.clock.version
    }

    /// How often decisions have been expired.
    pub fn epoch(&self) -> u64 {
        self.clock.epoch
    }

    /// The settings of the posterior.
    pub fn options(&self) -> &P::Options {
        self.posterior.options()
    }

    /// The exploration rule.
    pub fn exploration(&self) -> &E {
        &self.exploration
    }

    /// Replaces the exploration rule: α and ε are settings, not learned state.
    ///
    /// # Errors
    /// A setting out of its range.
    pub fn set_exploration(&mut self, exploration: E) -> Result<()> {
        exploration.check()?;
        self.exploration = exploration;
        Ok(())
    }

    /// Adds an arm with the prior, under the number after the largest that was ever given.
    ///
    /// # Errors
    /// The arm of number 2⁶³ − 1 exists or existed: lower numbers may be left for [`insert_arm`](Self::insert_arm).
    pub fn add_arm(&mut self) -> Result<ArmId> {
        let arm = self.arms.add()?;
        self.posterior.push_prior();
        Ok(arm)
    }

    /// Adds an arm under an id of the caller's, which may be any that was never given: workers that add the same arm
    /// independently must agree on its id to merge later.
    ///
    /// # Errors
    /// The id is taken, or is that of a removed arm, or its number is not below 2⁶³.
    pub fn insert_arm(&mut self, arm: ArmId) -> Result<()> {
        self.arms.insert(arm)?;
        self.posterior.push_prior();
        Ok(())
    }

    /// Adds an arm that starts with the posterior of `like`.
    ///
    /// # Errors
    /// `like` is unknown or removed; as [`add_arm`](Self::add_arm).
    pub fn add_arm_like(&mut self, like: ArmId) -> Result<ArmId> {
        let slot = self.arms.slot(like)?;
        let arm = self.arms.add()?;
        self.posterior.push_copy(slot);
        Ok(arm)
    }

    /// Replaces the posterior of `to` by that of `from`.
    ///
    /// # Errors
    /// Either is unknown or removed.
    pub fn warm_start(&mut self, to: ArmId, from: ArmId) -> Result<()> {
        let (from, to) = (self.arms.slot(from)?, self.arms.slot(to)?);
        self.posterior.copy(from, to);
        Ok(())
    }

    /// Removes an arm for good: its id is never reused, and policies that are merged with this one lose it too.
    /// Later rewards of its decisions are refused as [`RemovedArm`](crate::Error::RemovedArm), and with one of them the
    /// whole [`learn_batch`](Self::learn_batch): leave them out by [`ArmSet::contains`].
    ///
    /// # Errors
    /// The arm is unknown or removed already.
    pub fn remove_arm(&mut self, arm: ArmId) -> Result<()> {
        self.posterior.swap_remove(self.arms.remove(arm)?);
        Ok(())
    }

    /// Begins the next epoch: decisions made before are refused from now on. To be called when the contexts' scaling
    /// changes, and followed by a save.
    pub fn expire_decisions(&mut self) {
        self.clock.expire();
    }

    /// Mean and width of one arm.
    ///
    /// # Errors
    /// A context of the wrong length or not finite; an unknown or removed arm; a score that overflows.
    pub fn score(&self, arm: ArmId, context: &[f64]) -> Result<Score> {
        check_finite("context", context, self.dimension())?;
        self.posterior.score(self.arms.slot(arm)?, context).checked()
    }

    /// Mean and width of each available arm, in the order of [`ArmSet::iter`], appended to `out`; after an error `out`
    /// is as it was.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    pub fn scores(&self, context: &[f64], available: Available<'_>, out: &mut Vec<(ArmId, Score)>) -> Result<()> {
        check_finite("context", context, self.dimension())?;
        let mut space = SlotSpace::default();
        let slots = self.arms.resolve(available, &mut space)?;
        let before = out.len();
        self.posterior.fold(slots, context, (), |(), slot, score| out.push((self.arms.id(slot), score)));
        let outcome = out[before..].iter().try_for_each(|(_, score)| score.checked().map(drop));
        if outcome.is_err() {
            out.truncate(before);
        }
        outcome
    }

    /// Chooses the arm of the highest value; ties are broken by the generator, uniformly.
    ///
    /// # Errors
    /// A context of the wrong length or not finite, an unknown or removed arm, nothing available, scores that overflow.
    pub fn select<R: Rng + ?Sized>(&self, context: &[f64], available: Available<'_>, rng: &mut R) -> Result<Choice> {
        check_finite("context", context, self.dimension())?;
        match self.arms.every_slot() {
            // The common case, without the memory of a set of slots.
            Some(slots) if available == Available::All => self.choose(context, slots, rng),
            _ => self.choose(context, self.arms.resolve(available, &mut SlotSpace::default())?, rng),
        }
    }

    fn choose<R: Rng + ?Sized>(&self, context: &[f64], slots: Slots<'_>, rng: &mut R) -> Result<Choice> {
        let count = slots.count();
        let explored = self.explored(count, rng);
        let best = self.posterior.fold(slots, context, Best::new(), |best, slot, score| {
            best.or(slot, self.exploration.value(score, rng), score, rng)
        });
        let explored = explored.and_then(|position| slots.iter().nth(position));
        self.finish_choice(best, explored.map(|slot| (slot, self.posterior.score(slot, context))), count, rng)
    }

    /// The position among `count` arms that is drawn uniformly, in a round that explores so.
    #[inline(always)]
    pub(crate) fn explored<R: Rng + ?Sized>(&self, count: usize, rng: &mut R) -> Option<usize> {
        let share = self.exploration.uniform_share();
        (share > 0.0 && rng.random::<f64>() < share).then(|| rng.random_range(0..count))
    }

    /// The choice between the best of `count` arms and the one that was drawn instead, if one was.
    #[inline(always)]
    fn finish_choice<R: Rng + ?Sized>(
        &self,
        best: Best,
        explored: Option<(usize, Score)>,
        count: usize,
        rng: &mut R,
    ) -> Result<Choice> {
        check_scalar("score", best.value)?;
        let share = self.exploration.uniform_share();
        let greedy = (1.0 - share) / f64::from(best.ties);
        let (slot, value, score) = match explored {
            Some((slot, score)) => (slot, self.exploration.value(score, rng), score.checked()?),
            None => (best.slot, best.value, best.score),
        };
        let propensity = (!E::DRAWS).then(|| share / count as f64 + if value == best.value { greedy } else { 0.0 });
        let Score { mean, width } = score;
        let Clock { version, epoch } = self.clock;
        Ok(Choice { arm: self.arms.id(slot), version, score: value, mean, width, propensity, epoch })
    }

    /// Chooses, and keeps the context with the choice for feedback that comes later.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    pub fn decide<R: Rng + ?Sized>(&self, context: &[f64], available: Available<'_>, rng: &mut R) -> Result<Decision> {
        Ok(self.select(context, available, rng)?.with_context(context))
    }

    /// Learns the reward of a decision. Decisions are not tracked: one that is given twice counts
    /// twice.
    ///
    /// # Errors
    /// A decision of another epoch, and as [`update`](Self::update).
    pub fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
        check_epoch(decision.choice.epoch, self.clock.epoch)?;
        self.update(decision.choice.arm, &decision.context, reward, 1.0)
    }

    /// Learns that `arm` gave `reward` in `context`; a weight of 2 counts it twice.
    ///
    /// # Errors
    /// A context of the wrong length, not finite or beyond ±1e100, an unknown or removed arm, a reward that is not
    /// finite or out of the model's range, a weight that is not positive, values that overflow, more than 2⁶³ − 1
    /// updates. The policy is unchanged then.
    pub fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        let slot = self.check(arm, context, reward, weight)?;
        let clock = self.clock.after(1)?;
        self.posterior.update(slot, context, reward, weight)?;
        self.clock = clock;
        Ok(())
    }

    fn check(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<usize> {
        check_finite("context", context, self.dimension())?;
        self.posterior.check_reward(reward)?;
        check_weight(weight)?;
        self.arms.slot(arm)
    }

    /// Learns rewards that arrived together: all of them, or none if one is refused.
    ///
    /// A ridge learns them one after the other, which is exact. A logistic posterior learns those of one arm jointly.
    ///
    /// # Errors
    /// As [`learn`](Self::learn), for the first observation that is refused.
    pub fn learn_batch(&mut self, observations: &[Observation]) -> Result<()> {
        self.update_batch.clear();
        for observation in observations {
            let Decision { choice, context } = &observation.decision;
            check_epoch(choice.epoch, self.clock.epoch)?;
            let Observation { reward, weight, .. } = *observation;
            let slot = self.check(choice.arm, context, reward, weight)?;
            self.update_batch.push(Sample { slot, context, reward, weight });
        }
        let clock = self.clock.after(observations.len() as u64)?;
        self.update_batch.learn(&mut self.posterior, self.arms.len())?;
        self.clock = clock;
        Ok(())
    }
}

impl<P: Posterior, E: Exploration> Policy for Disjoint<P, E> {
    fn dimension(&self) -> usize {
        self.dimension()
    }

    fn arms(&self) -> &ArmSet {
        &self.arms
    }

    fn version(&self) -> u64 {
        self.clock.version
    }

    fn epoch(&self) -> u64 {
        self.clock.epoch
    }

    fn select(&self, context: &[f64], available: Available<'_>, rng: &mut dyn Rng) -> Result<Choice> {
        self.select(context, available, rng)
    }

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        self.update(arm, context, reward, weight)
    }
}
