//! Policy over sparse contexts, either with separate weights for each arm or with weights shared by arms that have
//! features.

use rand::Rng;

use super::model::SparseModel;
use super::table::{Table, Undo};
use crate::arm::ArmId;
use crate::arm_set::{ArmSet, SlotSpace};
use crate::clock::{Clock, check_epoch};
use crate::decision::{Choice, Decision, FeatureSpace, Propensity, QUADRATURE_ERROR, Request, check_sparse};
use crate::error::{Error, Result};
use crate::exploration::Exploration;
use crate::gaussian::Score;
use crate::log::LoggedDecision;
use crate::policy::choose::{ScoredArmsOf, choose, with_freedom};
use crate::policy::explanation::{Explanation, Term};
use crate::policy::forward::manages_arms;
use crate::policy::interface::{Observation, Policy};
use crate::policy::propensity::{independent_propensities, independent_propensity};
use crate::validate::{check_scalar, check_weight};

/// Policy over sparse contexts, such as hashed words. Time depends only on the number of non-zero values in a context,
/// and memory on the number of weights that have learned, not on the size of the feature space.
///
/// With [`new`](Self::new), each arm has weights of its own. With [`shared`](Self::shared), arms are described by the
/// sparse features of each request, and all arms share the weights.
///
/// ```
/// use dht_bandits::exploration::SquareCb;
/// use dht_bandits::features::{FeatureHasher, SparseContext};
/// use dht_bandits::policy::SparsePolicy;
/// use dht_bandits::{ArmId, Policy, Request, posterior::DiagonalLaplace};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let mut hasher = FeatureHasher::new(18)?.with_interactions([("user", "ad")])?.with_names();
/// let mut policy = SparsePolicy::shared(hasher.space(), DiagonalLaplace::default(), SquareCb::new(30.0))?;
/// let ads = [0, 1].map(ArmId::new);
/// for round in 0..400 {
///     let country = ["DE", "FR"][round % 2];
///     hasher.clear();
///     hasher.category("user", "country", country);
///     let of_user = hasher.len();
///     let mut actions = Vec::new();
///     for title in ["running shoes", "rain coat"] {
///         hasher.truncate(of_user);
///         hasher.text("ad", title);
///         actions.push(hasher.context()?);
///     }
///     let (rows, width) = SparseContext::rows(&actions)?;
///     let decision = policy.decide(&Request::new(&[]).featured(&ads, &rows, width)?, &mut rng)?;
///     // The truth: shoes in Germany, coats in France.
///     let good = (country == "DE") == (decision.arm() == ads[0]);
///     policy.learn(&decision, f64::from(u8::from(good)))?;
/// }
/// let largest = policy.largest_weights(None, 2);
/// let names: Vec<_> = largest.iter().map(|(index, _)| hasher.names(*index)[0].clone()).collect();
/// assert!(names.iter().all(|name| name.contains('×')), "{names:?}");
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SparsePolicy<M: SparseModel, E: Exploration> {
    pub(super) space: FeatureSpace,
    pub(super) model: M,
    pub(super) exploration: E,
    pub(super) arms: ArmSet,
    /// `true` if all arms share one set of weights, stored at position 0 of the table.
    pub(super) shared: bool,
    pub(super) table: Table,
    pub(super) clock: Clock,
}

impl<M: SparseModel, E: Exploration> SparsePolicy<M, E> {
    /// Creates a policy with the arms 0 to `arms` − 1, each with weights of its own. A weight takes 16 bytes of memory
    /// once it has learned.
    ///
    /// # Errors
    /// Fails if a setting is out of its range or if there are more than 16,777,216 arms. [`Error::Memory`] if memory
    /// cannot be allocated.
    pub fn new(space: FeatureSpace, arms: usize, model: M, exploration: E) -> Result<Self> {
        Self::make(space, (arms, false), model, exploration)
    }

    /// Creates a policy with weights shared by all arms, which each request describes by sparse features
    /// ([`SparseContext::rows`]). The context of the request must be empty. To let a context have an effect, multiply
    /// it with the features of the arms ([`FeatureHasher::with_interactions`]).
    ///
    /// [`SparseContext::rows`]: crate::features::SparseContext::rows
    /// [`FeatureHasher::with_interactions`]: crate::features::FeatureHasher::with_interactions
    ///
    /// # Errors
    /// Fails if a setting is out of its range. [`Error::Memory`] if memory cannot be allocated.
    pub fn shared(space: FeatureSpace, model: M, exploration: E) -> Result<Self> {
        Self::make(space, (0, true), model, exploration)
    }

    fn make(space: FeatureSpace, (arms, shared): (usize, bool), model: M, exploration: E) -> Result<Self> {
        model.check()?;
        exploration.check()?;
        let set = ArmSet::new(arms)?;
        let table = Table::new(space.size(), if shared { 1 } else { arms })?;
        Ok(Self { space, model, exploration, arms: set, shared, table, clock: Clock::default() })
    }

    /// Settings of the policy's model.
    pub fn options(&self) -> &M {
        &self.model
    }

    /// Feature space of the accepted contexts: the range of feature indices, and the features that they stand for.
    pub fn space(&self) -> FeatureSpace {
        self.space
    }

    /// Exploration rule of the policy.
    pub fn exploration(&self) -> &E {
        &self.exploration
    }

    /// Replaces the exploration rule; the learned state stays.
    ///
    /// # Errors
    /// Fails if a setting is out of its range.
    pub fn set_exploration(&mut self, exploration: E) -> Result<()> {
        exploration.check()?;
        self.exploration = exploration;
        Ok(())
    }

    /// Weights of an arm that differ most from the prior, as (index, weight) with the largest difference first. `None`
    /// as the arm selects the shared weights. [`FeatureHasher::names`](crate::features::FeatureHasher::names)
    /// translates an index to the names of its features. The result is empty for an unknown arm.
    pub fn largest_weights(&self, arm: Option<ArmId>, count: usize) -> Vec<(u32, f64)> {
        let slot = match arm {
            Some(arm) => self.arms.slot(arm).ok(),
            None => self.shared.then_some(0),
        };
        let of_slot = self.table.learned().filter(|(_, at, _)| Some(*at) == slot);
        let mut weights: Vec<_> = of_slot.map(|(index, _, [weight, _])| (index as u32, weight)).collect();
        weights.sort_by(|left, right| right.1.abs().total_cmp(&left.1.abs()));
        weights.truncate(count);
        weights.iter_mut().for_each(|(_, weight)| *weight += self.model.prior_mean());
        weights
    }

    /// Converts the mean of an arm's score to its expected reward: σ(mean) for logistic models.
    pub fn expected_reward(&self, mean: f64) -> f64 {
        self.model.expected_reward(mean)
    }

    fn reserve_arm(&mut self, _like: Option<usize>) -> Result<()> {
        if self.shared { Ok(()) } else { self.table.reserve() }
    }

    fn push_arm(&mut self, _arm: ArmId, like: Option<usize>) {
        if !self.shared {
            self.table.push(like);
        }
    }

    fn copy_slot(&mut self, from: usize, to: usize) -> Result<()> {
        if !self.shared {
            self.table.copy(from, to);
        }
        Ok(())
    }

    fn remove_slot(&mut self, _arm: ArmId, slot: usize) {
        if !self.shared {
            self.table.swap_remove(slot);
        }
    }

    /// Extracts the (index, value) pairs of a sparse context. Fails if the context belongs to another feature space.
    fn pairs<'v>(&self, values: &'v [f64]) -> Result<&'v [f64]> {
        let (space, pairs) = check_sparse(values)?;
        if space == self.space {
            return Ok(pairs);
        }
        Err(Error::OtherFeatureSpace { expected: self.space.to_string(), found: space.to_string() })
    }

    fn scored(&self, request: &Request<'_>) -> Result<Vec<(ArmId, Score)>> {
        let scored: Vec<(ArmId, Score)> = if self.shared {
            let featured = request.actions.any_features()?;
            let of = |(position, &arm): (usize, &ArmId)| {
                if self.arms.removed().contains(arm) {
                    return Err(Error::RemovedArm { arm });
                }
                Ok((arm, self.table.score(&self.model, self.pairs(featured.at(position))?, 0)))
            };
            featured.ids().iter().enumerate().map(of).collect::<Result<_>>()?
        } else {
            let pairs = self.pairs(request.context)?;
            let mut space = SlotSpace::default();
            let slots = self.arms.resolve(request.actions.available(), &mut space)?;
            let scores = self.table.score_slots(&self.model, pairs, slots);
            scores.into_iter().map(|(slot, score)| (self.arms.id(slot), score)).collect()
        };
        Ok(scored)
    }

    /// Mean and width of an arm's score. If arms share weights, `context` contains the features of the arm.
    ///
    /// # Errors
    /// Fails if `context` is not a sparse context of this feature space, if the arm is unknown or removed, or if the
    /// score overflows.
    pub fn score(&self, arm: ArmId, context: &[f64]) -> Result<Score> {
        let slot = self.slot(arm)?;
        self.table.score(&self.model, self.pairs(context)?, slot).checked()
    }

    fn slot(&self, arm: ArmId) -> Result<usize> {
        match self.shared {
            false => self.arms.slot(arm),
            true if self.arms.removed().contains(arm) => Err(Error::RemovedArm { arm }),
            true => Ok(0),
        }
    }

    fn choose_scored(&self, scored: &[(ArmId, Score)], rng: &mut dyn Rng) -> Result<(usize, Choice)> {
        let Clock { version, epoch } = self.clock;
        let chosen = choose::<true, _, _, _>(&ScoredArmsOf(scored), &self.exploration, version, rng)?;
        let Score { mean, width } = chosen.score;
        let (arm, score, propensity) = (scored[chosen.index].0, chosen.value, chosen.propensity);
        Ok((chosen.index, Choice { arm, version, score, mean, width, propensity, epoch, propensity_error: 0.0 }))
    }

    /// Checks an observation. Returns the slot of its arm, and the (index, value) pairs of its context.
    fn check<'v>(&self, arm: ArmId, context: &'v [f64], reward: f64, weight: f64) -> Result<(usize, &'v [f64])> {
        let pairs = self.pairs(context)?;
        check_scalar("reward", reward)?;
        self.model.check_reward(reward)?;
        check_weight(weight)?;
        Ok((self.slot(arm)?, pairs))
    }

    fn learn_one(
        &mut self,
        arm: ArmId,
        context: &[f64],
        (reward, weight): (f64, f64),
        undo: &mut Option<Undo>,
    ) -> Result<()> {
        let (slot, pairs) = self.check(arm, context, reward, weight)?;
        let clock = self.clock.after(1)?;
        self.table.update(&self.model, pairs, slot, (reward, weight), undo)?;
        self.clock = clock;
        Ok(())
    }

    /// Learns several rewards: all of them, or none if `learn` fails.
    fn learn_all(&mut self, mut learn: impl FnMut(&mut Self, &mut Option<Undo>) -> Result<()>) -> Result<()> {
        let (clock, mut undo) = (self.clock, Some(Undo::new()));
        let outcome = learn(self, &mut undo);
        if outcome.is_err() {
            self.table.restore(undo.unwrap_or_default());
            self.clock = clock;
        }
        outcome
    }
}

impl<M: SparseModel, E: Exploration> Policy for SparsePolicy<M, E> {
    manages_arms!(self);

    /// Number of indices in the feature space.
    fn dimension(&self) -> usize {
        self.space.size()
    }

    fn takes_sparse_contexts(&self) -> bool {
        true
    }

    fn keeps_features(&self) -> bool {
        self.shared
    }

    fn select(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Choice> {
        Ok(self.choose_scored(&self.scored(request)?, rng)?.1)
    }

    fn decide(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Decision> {
        let scored = self.scored(request)?;
        let (position, mut choice) = self.choose_scored(&scored, rng)?;
        if choice.propensity.is_none() {
            let scores = with_freedom(&scored);
            choice.propensity = Some(independent_propensity(&self.exploration, self.clock.version, &scores, position)?);
            choice.propensity_error = QUADRATURE_ERROR;
        }
        let context = if self.shared { request.actions.any_features()?.at(position) } else { request.context };
        Ok(choice.with_context(context))
    }

    /// Probability of choosing each available arm. Thompson sampling draws the score of each arm independently from the
    /// posterior of this score, even if arms share weights.
    ///
    /// # Errors
    /// Fails as [`select`](Policy::select) does.
    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        let scored = self.scored(request)?;
        let arms: Vec<ArmId> = scored.iter().map(|(arm, _)| *arm).collect();
        independent_propensities(&self.exploration, self.clock.version, &arms, &with_freedom(&scored))
    }

    /// Explains the score of a decision. Columns in the explanation are indices of the feature space;
    /// [`FeatureHasher::names`](crate::features::FeatureHasher::names) translates such an index to names.
    fn explain(&self, decision: &Decision) -> Result<Explanation> {
        let Score { mean, width } = self.score(decision.arm(), &decision.context)?;
        let (slot, pairs) = (self.slot(decision.arm())?, self.pairs(&decision.context)?);
        let part = |pair: &[f64]| {
            let weight = self.model.prior_mean() + self.table.get(pair[0] as usize, slot)[0];
            (Term::Column(pair[0] as usize), pair[1] * weight)
        };
        let mut explanation = Explanation { mean, width, contributions: pairs.chunks_exact(2).map(part).collect() };
        explanation.sort();
        Ok(explanation)
    }

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        self.learn_one(arm, context, (reward, weight), &mut None)
    }

    /// Learns rewards in their order: all of them, or none if one is refused.
    fn learn_batch(&mut self, observations: &[Observation]) -> Result<()> {
        self.learn_all(|policy, undo| {
            observations.iter().try_for_each(|Observation { decision, reward, weight }| {
                check_epoch(decision.choice.epoch, policy.clock.epoch)?;
                policy.learn_one(decision.arm(), &decision.context, (*reward, *weight), undo)
            })
        })
    }

    fn fit(&mut self, log: &[LoggedDecision]) -> Result<()> {
        self.learn_all(|policy, undo| {
            log.iter().enumerate().try_for_each(|(round, row)| {
                row.check(round)?;
                policy.fit_logged(row, undo).map_err(|source| Error::InRound { round, source: Box::new(source) })
            })
        })
    }

    fn fit_row(&mut self, row: &LoggedDecision) -> Result<()> {
        self.fit_logged(row, &mut None)
    }
}

impl<M: SparseModel, E: Exploration> SparsePolicy<M, E> {
    fn fit_logged(&mut self, row: &LoggedDecision, undo: &mut Option<Undo>) -> Result<()> {
        let context = match self.shared {
            true => row.features_of(row.arm).ok_or(Error::NeedsFeatures { width: 1 })?,
            false => &row.context,
        };
        self.learn_one(row.arm, context, (row.reward, row.row_weight()), undo)
    }
}
