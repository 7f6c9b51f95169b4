//! Policies that explore with a reward model implemented by the caller.

use rand::Rng;

use super::Policy;
use super::choose::{ScoredArmsOf, choose, with_freedom};
use super::propensity::{independent_propensities, independent_propensity};
use crate::arm::ArmId;
use crate::arm_set::{ArmSet, SlotSpace};
use crate::clock::Clock;
use crate::decision::{Actions, Choice, Decision, Propensity, QUADRATURE_ERROR, Request};
use crate::error::{Error, Result};
use crate::exploration::Exploration;
use crate::gaussian::Score;
use crate::policy::forward::manages_arms;
use crate::validate::{check_context, check_finite, check_length, check_scalar, check_weight};

/// Reward model implemented by the caller, for example a tree, a neural network, or a call to another library.
///
/// `context` is the context of the request. If [`OraclePolicy::with_features`] was called, the arm's features are
/// appended to it. Rules that use widths ([`Ucb`](crate::Ucb), [`Thompson`](crate::Thompson)) need
/// [`width`](Self::width); [`SquareCb`](crate::exploration::SquareCb), [`Softmax`](crate::exploration::Softmax) and the
/// greedy rules do not.
pub trait Oracle: Clone + std::fmt::Debug + Send + Sync + 'static {
    /// Predicts the reward of an arm in a context.
    fn predict(&self, arm: ArmId, context: &[f64]) -> f64;

    /// Uncertainty of the prediction for an arm in a context, as a standard deviation; 0 by default. Exploration rules
    /// such as [`Ucb`](crate::Ucb) try uncertain arms more often.
    fn width(&self, _arm: ArmId, _context: &[f64]) -> f64 {
        0.0
    }

    /// Learns a reward; a weight of 2 counts it twice. The policy calls this method on a copy of the model, which it
    /// discards after an error.
    ///
    /// # Errors
    /// Fails if the implementation refuses the reward.
    fn learn(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()>;

    /// Prepares the model for an added arm; does nothing by default.
    fn add_arm(&mut self, _arm: ArmId) {}

    /// Forgets an arm that was removed; does nothing by default.
    fn remove_arm(&mut self, _arm: ArmId) {}
}

/// Policy that combines the caller's reward model, an [`Oracle`], with any exploration rule.
///
/// Predictions are checked: if one is not finite or a width is negative, the choice fails with [`Error::Oracle`]. Each
/// update learns on a copy of the model, which replaces the original if the copy still predicts a finite reward. A
/// model with large parameters should store them behind an `Arc`, or learn from batches.
///
/// ```
/// use dht_bandits::exploration::SquareCb;
/// use dht_bandits::policy::{Oracle, OraclePolicy};
/// use dht_bandits::{ArmId, Policy, Request, Result};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// /// The mean reward of each arm, whatever the context.
/// #[derive(Debug, Clone, Default)]
/// struct Means(Vec<(f64, f64)>);
///
/// impl Oracle for Means {
///     fn predict(&self, arm: ArmId, _: &[f64]) -> f64 {
///         self.0.get(arm.number() as usize).map_or(0.0, |(sum, count)| sum / count)
///     }
///
///     fn learn(&mut self, arm: ArmId, _: &[f64], reward: f64, weight: f64) -> Result<()> {
///         let index = arm.number() as usize;
///         self.0.resize(self.0.len().max(index + 1), (0.0, 1.0));
///         self.0[index] = (self.0[index].0 + weight * reward, self.0[index].1 + weight);
///         Ok(())
///     }
/// }
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let mut policy = OraclePolicy::new(Means::default(), 1, 3, SquareCb::new(10.0))?;
/// let decision = policy.decide(&Request::new(&[1.0]), &mut rng)?;
/// policy.learn(&decision, 1.0)?;
/// assert_eq!(policy.oracle().predict(decision.arm(), &[1.0]), 0.5);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct OraclePolicy<O: Oracle, E: Exploration> {
    oracle: O,
    exploration: E,
    dimension: usize,
    // Number of features of an arm; 0 if arms are known only by their ids.
    features: usize,
    arms: ArmSet,
    clock: Clock,
}

impl<O: Oracle, E: Exploration> OraclePolicy<O, E> {
    /// Creates a policy with the arms 0 to `arms` − 1 and contexts of length `dimension`, which may be 0.
    ///
    /// # Errors
    /// Fails if the dimension or the number of arms exceeds 16,777,216, or if a setting is out of its range.
    pub fn new(oracle: O, dimension: usize, arms: usize, exploration: E) -> Result<Self> {
        exploration.check()?;
        check_length("dimension", dimension.max(1))?;
        let mut policy =
            Self { oracle, exploration, dimension, features: 0, arms: ArmSet::new(arms)?, clock: Clock::default() };
        (0..arms as u64).for_each(|number| policy.oracle.add_arm(ArmId::new(number)));
        Ok(policy)
    }

    /// Sets the number of features of each arm. Features are appended to the context, and requests may contain any arm
    /// ids.
    ///
    /// # Errors
    /// Fails if the number is zero or exceeds 16,777,216.
    pub fn with_features(mut self, features: usize) -> Result<Self> {
        check_length("features", features)?;
        self.features = features;
        Ok(self)
    }

    /// Reward model of the policy.
    pub fn oracle(&self) -> &O {
        &self.oracle
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

    fn reserve_arm(&mut self, like: Option<usize>) -> Result<()> {
        if like.is_some() {
            Err(Error::Unsupported { what: "copying the learned state of an arm: it is inside the oracle" })
        } else {
            Ok(())
        }
    }

    fn push_arm(&mut self, arm: ArmId, _like: Option<usize>) {
        self.oracle.add_arm(arm);
    }

    fn copy_slot(&mut self, _from: usize, _to: usize) -> Result<()> {
        self.reserve_arm(Some(0))
    }

    fn remove_slot(&mut self, arm: ArmId, _slot: usize) {
        self.oracle.remove_arm(arm);
    }

    /// Computes the score of each arm in a request.
    fn scored(&self, request: &Request<'_>) -> Result<Vec<(ArmId, Score)>> {
        check_finite("context", request.context, self.dimension)?;
        if self.features == 0 {
            let mut space = SlotSpace::default();
            let slots = self.arms.resolve(request.actions.available(), &mut space)?;
            return slots.iter().map(|slot| self.score(self.arms.id(slot), request.context)).collect();
        }
        let featured = request.actions.features(self.features)?;
        let mut input = request.context.to_vec();
        let with_features = |(position, &arm): (usize, &ArmId)| {
            if self.arms.removed().contains(arm) {
                return Err(Error::RemovedArm { arm });
            }
            input.truncate(self.dimension);
            input.extend_from_slice(featured.at(position));
            self.score(arm, &input)
        };
        featured.ids().iter().enumerate().map(with_features).collect()
    }

    fn score(&self, arm: ArmId, context: &[f64]) -> Result<(ArmId, Score)> {
        Ok((arm, check_score(&self.oracle, arm, context)?))
    }

    fn choose_scored(&self, scored: &[(ArmId, Score)], rng: &mut dyn Rng) -> Result<(usize, Choice)> {
        let Clock { version, epoch } = self.clock;
        let chosen = choose::<true, _, _, _>(&ScoredArmsOf(scored), &self.exploration, version, rng)?;
        let Score { mean, width } = chosen.score;
        let (arm, score, propensity) = (scored[chosen.index].0, chosen.value, chosen.propensity);
        Ok((chosen.index, Choice { arm, version, score, mean, width, propensity, epoch, propensity_error: 0.0 }))
    }
}

/// Computes a model's prediction and width for an arm, and checks both.
///
/// # Errors
/// [`Error::Oracle`] if the prediction is not finite, or the width is negative or not finite.
fn check_score<O: Oracle>(oracle: &O, arm: ArmId, context: &[f64]) -> Result<Score> {
    let (mean, width) = (oracle.predict(arm, context), oracle.width(arm, context));
    if !mean.is_finite() {
        return Err(Error::Oracle { arm, what: "prediction", value: mean });
    }
    if !(0.0..=f64::MAX).contains(&width) {
        return Err(Error::Oracle { arm, what: "width", value: width });
    }
    Ok(Score { mean, width })
}

impl<O: Oracle, E: Exploration> Policy for OraclePolicy<O, E> {
    manages_arms!(self);

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn keeps_features(&self) -> bool {
        self.features > 0
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
        let mut decision = choice.with_context(request.context);
        if let (Actions::Featured(featured), true) = (request.actions, self.features > 0) {
            decision.context.extend_from_slice(featured.at(position));
        }
        Ok(decision)
    }

    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        let scored = self.scored(request)?;
        let arms: Vec<ArmId> = scored.iter().map(|(arm, _)| *arm).collect();
        independent_propensities(&self.exploration, self.clock.version, &arms, &with_freedom(&scored))
    }

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        check_finite("context and features", context, self.dimension + self.features)?;
        check_context(context)?;
        check_scalar("reward", reward)?;
        check_weight(weight)?;
        if self.features == 0 {
            self.arms.slot(arm)?;
        } else if self.arms.removed().contains(arm) {
            return Err(Error::RemovedArm { arm });
        }
        let clock = self.clock.after(1)?;
        let mut learned = self.oracle.clone();
        learned.learn(arm, context, reward, weight)?;
        check_score(&learned, arm, context)?;
        (self.oracle, self.clock) = (learned, clock);
        Ok(())
    }
}
