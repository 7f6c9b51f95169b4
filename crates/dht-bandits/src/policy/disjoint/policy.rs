//! Disjoint policy: a bandit policy with separate weights for each arm.

use rand::Rng;

use crate::arm::ArmId;
use crate::arm_set::{ArmSet, SlotSpace, Slots};
use crate::clock::{Clock, check_epoch};
use crate::decision::{Actions, Choice, Decision, Propensity, QUADRATURE_ERROR, Request};
use crate::error::Result;
use crate::exploration::{Exploration, Thompson, Ucb};
use crate::gaussian::Score;
use crate::policy::choose::{ScoredArms, ScoredChoice, choose, drawn_value};
use crate::policy::forward::manages_arms;
use crate::policy::propensity::independent_propensities;
use crate::policy::{Explanation, Observation, Policy, Term};
use crate::posterior::{Beliefs, Posterior, Ridge, Sample, UpdateBatch, copy_of_slot};
use crate::validate::{check_finite, check_weight};

/// Policy with separate weights for each arm ("disjoint" in the LinUCB paper). A [`Posterior`] describes the weights,
/// and an [`Exploration`] rule chooses the arm.
///
/// [`select`](Self::select) computes one score per available arm in O(d²), or O(d) with a diagonal precision. It does
/// not allocate if all arms are available, or if at most 1,024 arms are. [`update`](Policy::update) costs O(d²) or O(d)
/// for its arm, and does not allocate except over a [`DiscountedRidge`](crate::posterior::DiscountedRidge).
///
/// ```
/// use dht_bandits::{LinUcb, Policy, Request, Ridge, Ucb};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let mut policy = LinUcb::new(2, 3, Ridge::new(1.0), Ucb { alpha: 0.5 })?;
/// let context = [1.0, 0.2];
/// let decision = policy.decide(&Request::new(&context), &mut rng)?; // keep it while the reward is on its way
/// policy.learn(&decision, 1.0)?;
/// assert!(policy.score(decision.arm(), &context)?.mean > 0.0);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Disjoint<P: Posterior, E: Exploration> {
    pub(super) arms: ArmSet,
    pub(super) posterior: P::Beliefs,
    pub(super) exploration: E,
    pub(super) clock: Clock,
    pub(super) update_batch: UpdateBatch,
}

impl<P: Posterior, E: Exploration> Disjoint<P, E> {
    /// Creates an untrained policy with the arms 0 to `arms` − 1.
    ///
    /// # Errors
    /// Fails if the dimension is zero or above 65,536 (16,777,216 with a diagonal precision), if there are more than
    /// 16,777,216 arms, or if a setting is out of its range. [`Error::Memory`](crate::Error::Memory) if the policy
    /// needs more memory than is available, or more than 1 TiB.
    pub fn new(dimension: usize, arms: usize, options: P, exploration: E) -> Result<Self> {
        exploration.check()?;
        let mut posterior = P::Beliefs::empty(dimension, &options)?;
        let (set, update_batch) = (ArmSet::new(arms)?, UpdateBatch::default());
        posterior.reserve(arms)?;
        (0..arms).for_each(|_| posterior.push_prior());
        Ok(Self { arms: set, posterior, exploration, clock: Clock::default(), update_batch })
    }

    pub(crate) fn from_parts(arms: ArmSet, posterior: P::Beliefs, exploration: E, clock: Clock) -> Self {
        Self { arms, posterior, exploration, clock, update_batch: UpdateBatch::default() }
    }

    pub(crate) fn into_parts(self) -> (ArmSet, P::Beliefs, Clock) {
        (self.arms, self.posterior, self.clock)
    }

    /// Settings of the posterior, such as the prior precision.
    pub fn options(&self) -> &P {
        self.posterior.options()
    }

    /// Exploration rule of the policy.
    pub fn exploration(&self) -> &E {
        &self.exploration
    }

    /// Replaces the exploration rule. Its parameters, such as α and ε, are settings, so the learned state stays.
    ///
    /// # Errors
    /// Fails if a setting is out of its range.
    pub fn set_exploration(&mut self, exploration: E) -> Result<()> {
        exploration.check()?;
        self.exploration = exploration;
        Ok(())
    }

    fn reserve_arm(&mut self, _like: Option<usize>) -> Result<()> {
        self.posterior.reserve(1)
    }

    fn push_arm(&mut self, _arm: ArmId, like: Option<usize>) {
        match like {
            Some(slot) => self.posterior.push_copy(slot),
            None => self.posterior.push_prior(),
        }
    }

    fn copy_slot(&mut self, from: usize, to: usize) -> Result<()> {
        self.posterior.copy(from, to);
        Ok(())
    }

    fn remove_slot(&mut self, _arm: ArmId, slot: usize) {
        self.posterior.swap_remove(slot);
    }

    /// Posterior mean and standard deviation (width) of an arm's score in a context.
    ///
    /// # Errors
    /// Fails if the context has the wrong length or is not finite, if the arm is unknown or removed, or if the score
    /// overflows.
    pub fn score(&self, arm: ArmId, context: &[f64]) -> Result<Score> {
        check_finite("context", context, self.dimension())?;
        self.posterior.score(self.arms.slot(arm)?, context).checked()
    }

    /// Appends the score (mean and width) of each available arm to `out`, in the order of [`ArmSet::iter`]. After an
    /// error `out` is unchanged.
    ///
    /// # Errors
    /// Fails as [`select`](Self::select) does.
    pub fn scores(&self, request: &Request<'_>, out: &mut Vec<(ArmId, Score)>) -> Result<()> {
        let context = request.context;
        check_finite("context", context, self.dimension())?;
        let mut space = SlotSpace::default();
        let slots = self.arms.resolve(request.actions.available(), &mut space)?;
        let before = out.len();
        self.posterior.fold(slots, context, (), |(), slot, score| out.push((self.arms.id(slot), score)));
        let outcome = out[before..].iter().try_for_each(|(_, score)| score.checked().map(drop));
        if outcome.is_err() {
            out.truncate(before);
        }
        outcome
    }

    /// Chooses one of the arms of a request. Ties are broken uniformly at random. Features of arms are ignored.
    ///
    /// The choice contains its [`propensity`](Choice::propensity) if that takes no further pass over the arms;
    /// [`decide`](Self::decide) always computes it.
    ///
    /// # Errors
    /// Fails if the context has the wrong length or is not finite, if an arm is unknown or removed, if no arm is
    /// available, or if a score overflows.
    pub fn select<R: Rng + ?Sized>(&self, request: &Request<'_>, rng: &mut R) -> Result<Choice> {
        self.choose::<false, R>(request, rng)
    }

    #[inline(always)]
    fn choose<const PROPENSITY: bool, R: Rng + ?Sized>(&self, request: &Request<'_>, rng: &mut R) -> Result<Choice> {
        check_finite("context", request.context, self.dimension())?;
        match (request.actions, self.arms.every_slot()) {
            // The common case needs no memory for a set of slots.
            (Actions::All, Some(slots)) => self.choose_among::<PROPENSITY, R>(request.context, slots, rng),
            (actions, _) => {
                let mut space = SlotSpace::default();
                let slots = self.arms.resolve(actions.available(), &mut space)?;
                self.choose_among::<PROPENSITY, R>(request.context, slots, rng)
            }
        }
    }

    #[inline(always)]
    fn choose_among<const PROPENSITY: bool, R: Rng + ?Sized>(
        &self,
        context: &[f64],
        slots: Slots<'_>,
        rng: &mut R,
    ) -> Result<Choice> {
        let arms = SlotScores { posterior: &self.posterior, slots, context };
        Ok(self.choice(choose::<PROPENSITY, _, _, _>(&arms, &self.exploration, self.clock.version, rng)?))
    }

    #[inline(always)]
    pub(super) fn choice(&self, choice: ScoredChoice) -> Choice {
        let ScoredChoice { index, value, score: Score { mean, width }, propensity } = choice;
        let Clock { version, epoch } = self.clock;
        let arm = self.arms.id(index);
        Choice { arm, version, score: value, mean, width, propensity, epoch, propensity_error: 0.0 }
    }

    /// Chooses one of the arms of a request, and stores the context with the choice for learning its reward later. The
    /// choice contains its exact propensity, for which Thompson sampling computes an integral: see
    /// [`propensities`](Self::propensities).
    ///
    /// # Errors
    /// Fails as [`select`](Self::select) does.
    pub fn decide<R: Rng + ?Sized>(&self, request: &Request<'_>, rng: &mut R) -> Result<Decision> {
        let mut choice = self.choose::<true, R>(request, rng)?;
        if choice.propensity.is_none() {
            choice.propensity = Some(self.propensity_of(request, choice.arm)?);
            choice.propensity_error = QUADRATURE_ERROR;
        }
        Ok(choice.with_context(request.context))
    }

    fn check(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<usize> {
        check_finite("context", context, self.dimension())?;
        self.posterior.check_reward(reward)?;
        check_weight(weight)?;
        self.arms.slot(arm)
    }
}

/// LinUCB policy with separate weights for each arm (Li et al. 2010, Algorithm 1): upper confidence bounds over ridge
/// regressions.
///
/// ```
/// use dht_bandits::{ArmId, LinUcb, Policy, Request, Ridge, Ucb};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut policy = LinUcb::new(1, 2, Ridge::default(), Ucb { alpha: 0.5 })?;
/// policy.update(ArmId::new(1), &[1.0], 1.0, 1.0)?;
/// let choice = policy.select(&Request::new(&[1.0]), &mut ChaCha8Rng::seed_from_u64(7))?;
/// assert_eq!(choice.arm, ArmId::new(1));
/// # Ok::<(), dht_bandits::Error>(())
/// ```
pub type LinUcb = Disjoint<Ridge, Ucb>;
/// Linear Thompson sampling with separate weights for each arm (Agrawal & Goyal 2013): chooses by random draws from the
/// posteriors of ridge regressions.
///
/// ```
/// use dht_bandits::{LinTs, Request, Ridge, Thompson};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let policy = LinTs::new(2, 4, Ridge::default(), Thompson { alpha: 0.5 })?;
/// let decision = policy.decide(&Request::new(&[1.0, 0.2]), &mut ChaCha8Rng::seed_from_u64(7))?;
/// // The arms of an untrained policy are equally likely.
/// let propensity = decision.choice.propensity.unwrap_or_default();
/// assert!((propensity - 0.25).abs() < 1e-8);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
pub type LinTs = Disjoint<Ridge, Thompson>;

/// Available arms of a policy, whose scores in one context are computed one at a time.
struct SlotScores<'a, B> {
    posterior: &'a B,
    slots: Slots<'a>,
    context: &'a [f64],
}

impl<B: Beliefs> ScoredArms for SlotScores<'_, B> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.slots.count()
    }

    #[inline(always)]
    fn fold<T>(&self, first: T, gather: impl FnMut(T, usize, Score) -> T) -> T {
        self.posterior.fold(self.slots, self.context, first, gather)
    }

    #[inline(always)]
    fn value<E: Exploration, R: Rng + ?Sized>(
        &self,
        rule: &E,
        learned: u64,
        slot: usize,
        score: Score,
        rng: &mut R,
    ) -> f64 {
        drawn_value(self.posterior, rule, learned, slot, score, rng)
    }

    fn at(&self, position: usize) -> (usize, Score) {
        let slot = self.slots.iter().nth(position).unwrap_or_default();
        (slot, self.posterior.score(slot, self.context))
    }
}

impl<P: Posterior, E: Exploration> Policy for Disjoint<P, E> {
    manages_arms!(self);

    fn dimension(&self) -> usize {
        self.posterior.dimension()
    }

    /// Probability of choosing each available arm, in the order of [`ArmSet::iter`](crate::policy::ArmSet::iter).
    ///
    /// Probabilities are exact for UCB, the greedy rules, softmax and SquareCB. Thompson sampling chooses arm a with
    /// probability P(a) = ∫ φ_a(v) Π_{b≠a} Φ_b(v) dv, where φ is the density of an arm's drawn value and Φ its
    /// distribution function. The integral is computed by one-dimensional quadrature with an error of at most 1e-9. For
    /// all K arms, the normal distribution function is evaluated O(K²) times at each of about 300 points.
    /// [`decide`](Self::decide) integrates only for the chosen arm.
    ///
    /// # Errors
    /// Fails as [`select`](Self::select) does.
    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        let (arms, scores) = self.arms_and_scores(request)?;
        independent_propensities(self.exploration(), self.version(), &arms, &scores)
    }

    /// Learns that `arm` earned `reward` in `context`; a weight of 2 counts it twice.
    ///
    /// # Errors
    /// Fails if the context has the wrong length, is not finite or exceeds ±1e100, or if the arm is unknown or removed.
    /// Also fails if the reward is not finite or outside the model's range, if the weight is not positive, if a value
    /// overflows, or beyond 2⁶³ − 1 updates. After an error the policy is unchanged.
    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        let slot = self.check(arm, context, reward, weight)?;
        let clock = self.clock.after(1)?;
        self.posterior.update(slot, context, reward, weight)?;
        self.clock = clock;
        Ok(())
    }

    /// Learns several rewards at once: all of them, or none if one is refused.
    ///
    /// A ridge regression learns the rewards one by one, which is exact. If updates advance a decay clock
    /// ([`DecayClock::Updates`](crate::posterior::DecayClock)), rewards are learned in the order of the slice: the
    /// result equals calling [`learn`](Self::learn) for each in turn, bit for bit. A logistic posterior learns the
    /// rewards of one arm jointly.
    ///
    /// # Errors
    /// Returns the error of [`learn`](Self::learn) for the first observation that is refused.
    fn learn_batch(&mut self, observations: &[Observation]) -> Result<()> {
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

    fn select(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Choice> {
        self.select(request, rng)
    }

    fn decide(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Decision> {
        self.decide(request, rng)
    }

    fn explain(&self, decision: &Decision) -> Result<Explanation> {
        Explanation::linear(&decision.context, Term::Column, |row| self.score(decision.arm(), row))
    }

    /// Checks an observation by learning it on a copy of the arm.
    fn check_update(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<bool> {
        let slot = self.check(arm, context, reward, weight)?;
        self.clock.after(1)?;
        copy_of_slot(&self.posterior, slot)?.update(0, context, reward, weight)?;
        Ok(true)
    }
}
