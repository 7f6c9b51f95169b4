//! Linear softmax policy, which learns from logs by policy gradients.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::model::{AdaGrad, SparseModel};
use super::table::Table;
use crate::arm::ArmId;
use crate::arm_set::{ArmSet, ArmSetState, SlotSpace, Slots};
use crate::clock::{Clock, check_epoch};
use crate::decision::{Choice, Decision, FeatureSpace, Propensity, Request, check_sparse};
use crate::error::{Error, Result};
use crate::exploration::Softmax;
use crate::gaussian::Score;
use crate::log::LoggedDecision;
use crate::policy::choose::{ScoredArmsOf, choose, with_freedom};
use crate::policy::forward::manages_arms;
use crate::policy::interface::{ClonePolicy, Policy};
use crate::policy::propensity::independent_propensities;
use crate::saved_state::{StateHeader, check_header, header_reader, serde_by_state};
use crate::validate::{check_bounded, check_context, check_finite, check_length, check_precision, check_scalar};

/// Linear softmax policy, which learns from the log of another policy by gradients of its estimated value. It draws an
/// arm a with probability π(a|x) ∝ exp(θ_a'x), and learns the weights θ.
///
/// In each row of the log, arm a was chosen with probability p and earned the reward r. The row changes θ along the
/// gradient of one of two estimates:
///
/// - (r − b)·π(a|x)/p, inverse propensity scoring. The baseline b is the mean reward so far. A baseline reduces the
///   variance and has no effect on average.
/// - Σ_c π(c|x)q(x, c) + (r − q(x, a))·π(a|x)/p, the doubly robust estimate ([`doubly_robust`](Self::doubly_robust)).
///   Here the reward model q is m plus a linear regression of r − m on the previous rows, with m = min(b, 0).
///
/// Learning rates fall for each weight as in [`AdaGrad`]. Contexts are [sparse](Self::sparse), or dense with a constant
/// that the policy appends. The policy depends on the log's propensities: it refuses rows and decisions without one,
/// and does not support a bare [`update`](Policy::update). For several passes over a log, call [`fit`](Policy::fit)
/// several times.
///
/// Before you deploy a learned policy, evaluate it on rows that it did not learn from.
/// [`Evaluation::verdict`](crate::evaluation::Evaluation::verdict) reports whether the whole confidence interval of its
/// gain over the logging policy is above 0.
///
/// ```
/// use dht_bandits::log::LoggedDecision;
/// use dht_bandits::policy::SoftmaxPolicy;
/// use dht_bandits::{ArmId, Policy, Request};
///
/// // Logged by a uniform policy: arm 1 pays where the context is positive, arm 0 elsewhere.
/// let log: Vec<_> = (0..400)
///     .map(|round| {
///         let (context, arm) = (f64::from(round % 7) - 3.0, round % 2);
///         let good = (context > 0.0) == (arm == 1);
///         LoggedDecision::new(vec![context], ArmId::new(arm as u64), 0.5, f64::from(u8::from(good)))
///     })
///     .collect();
/// let mut policy = SoftmaxPolicy::new(1, 2)?.with_learning_rate(0.5)?;
/// for _ in 0..5 {
///     policy.fit(&log)?;
/// }
/// let of_arm_1 = |context: f64| policy.propensities(&Request::new(&[context])).map(|all| all[1].probability);
/// assert!(of_arm_1(2.0)? > 0.9 && of_arm_1(-2.0)? < 0.1);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SoftmaxPolicy {
    input: Input,
    learning_rate: f64,
    arms: ArmSet,
    logits: Table,
    /// Reward model for the doubly robust gradient: a regression of the reward minus min(b, 0), where b is the mean
    /// reward so far. An arm without rows is therefore not predicted to be better than average.
    rewards: Option<Table>,
    /// Total weight and mean of the rewards so far.
    baseline: (f64, f64),
    clock: Clock,
}

/// Accepted contexts: dense with a length, or sparse with a feature space.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Input {
    /// Dense contexts of this length; the policy appends a constant.
    Dense(usize),
    Sparse(FeatureSpace),
}

impl Input {
    fn size(self) -> usize {
        match self {
            Self::Dense(dimension) => dimension + 1,
            Self::Sparse(space) => space.size(),
        }
    }
}

const RULE: Softmax = Softmax { temperature: 1.0 };

/// Model of the reward regression.
const MODEL: AdaGrad = AdaGrad::new(crate::policy::RewardType::Real);

impl SoftmaxPolicy {
    /// Creates a policy with the arms 0 to `arms` − 1 and dense contexts of length `dimension`, whose values should be
    /// on comparable scales. An untrained policy draws uniformly.
    ///
    /// # Errors
    /// Fails if the dimension is zero, or if the dimension or the number of arms exceeds 16,777,216. [`Error::Memory`]
    /// if memory cannot be allocated.
    pub fn new(dimension: usize, arms: usize) -> Result<Self> {
        check_length("dimension", dimension)?;
        Self::make(Input::Dense(dimension), arms)
    }

    /// Creates a policy for sparse contexts, with the arms 0 to `arms` − 1; an untrained policy draws uniformly.
    ///
    /// # Errors
    /// Fails if there are more than 16,777,216 arms. [`Error::Memory`] if memory cannot be allocated.
    pub fn sparse(space: FeatureSpace, arms: usize) -> Result<Self> {
        Self::make(Input::Sparse(space), arms)
    }

    fn make(input: Input, arms: usize) -> Result<Self> {
        let (set, logits) = (ArmSet::new(arms)?, Table::new(input.size(), arms)?);
        let (baseline, clock) = ((0.0, 0.0), Clock::default());
        Ok(Self { input, learning_rate: 0.05, arms: set, logits, rewards: None, baseline, clock })
    }

    /// Sets the learning rate of a weight without previous gradients; .05 by default. A rate of ½ let rows with small
    /// propensities saturate the probabilities early: on a data set of handwritten digits, inverse propensity scoring
    /// then found a third fewer of the correct arms.
    ///
    /// # Errors
    /// Fails if the rate is not from 1e-100 to 1e100.
    pub fn with_learning_rate(mut self, learning_rate: f64) -> Result<Self> {
        check_precision("learning_rate", learning_rate)?;
        self.learning_rate = learning_rate;
        Ok(self)
    }

    /// Uses the doubly robust gradient instead of inverse propensity scoring. It needs a reward model, which is learned
    /// by a regression for each arm.
    ///
    /// # Errors
    /// [`Error::Memory`] if the memory cannot be allocated.
    pub fn doubly_robust(mut self) -> Result<Self> {
        self.rewards = Some(Table::new(self.input.size(), self.arms.len())?);
        Ok(self)
    }

    fn reserve_arm(&mut self, _like: Option<usize>) -> Result<()> {
        self.rewards.as_mut().map_or(Ok(()), Table::reserve)?;
        self.logits.reserve()
    }

    fn push_arm(&mut self, _arm: ArmId, like: Option<usize>) {
        self.tables().for_each(|table| table.push(like));
    }

    fn copy_slot(&mut self, from: usize, to: usize) -> Result<()> {
        self.tables().for_each(|table| table.copy(from, to));
        Ok(())
    }

    fn remove_slot(&mut self, _arm: ArmId, slot: usize) {
        self.tables().for_each(|table| table.swap_remove(slot));
    }

    fn tables(&mut self) -> impl Iterator<Item = &mut Table> {
        std::iter::once(&mut self.logits).chain(&mut self.rewards)
    }

    /// Converts a context to (index, value) pairs, after checking it.
    fn pairs(&self, context: &[f64]) -> Result<Vec<f64>> {
        match self.input {
            Input::Dense(dimension) => {
                check_finite("context", context, dimension)?;
                check_context(context)?;
                let with_constant = context.iter().copied().chain([1.0]).enumerate();
                Ok(with_constant.flat_map(|(index, value)| [index as f64, value]).collect())
            }
            Input::Sparse(expected) => {
                let (space, pairs) = check_sparse(context)?;
                if space == expected {
                    return Ok(pairs.to_vec());
                }
                Err(Error::OtherFeatureSpace { expected: expected.to_string(), found: space.to_string() })
            }
        }
    }

    /// Computes the logits of the available arms, as scores.
    fn scored(&self, request: &Request<'_>) -> Result<Vec<(ArmId, Score)>> {
        let pairs = self.pairs(request.context)?;
        let mut space = SlotSpace::default();
        let slots = self.arms.resolve(request.actions.available(), &mut space)?;
        let logits = self.logits_of(&pairs, slots)?;
        Ok(logits.into_iter().map(|(slot, mean)| (self.arms.id(slot), Score { mean, width: 0.0 })).collect())
    }

    fn logits_of(&self, pairs: &[f64], slots: Slots<'_>) -> Result<Vec<(usize, f64)>> {
        let scores = self.logits.score_slots(&MODEL, pairs, slots);
        scores.into_iter().map(|(slot, score)| check_scalar("logit", score.mean).map(|()| (slot, score.mean))).collect()
    }

    /// Takes one gradient step for a logged row. If the row is refused, nothing changes.
    fn step(&mut self, request: &Request<'_>, arm: ArmId, propensity: f64, reward: f64, weight: f64) -> Result<()> {
        let pairs = self.pairs(request.context)?;
        let (chosen, mut space) = (self.arms.slot(arm)?, SlotSpace::default());
        let slots = self.arms.resolve(request.actions.available(), &mut space)?;
        if !slots.contains(chosen) {
            return Err(Error::UnknownArm { arm });
        }
        check_bounded("reward", reward)?;
        let clock = self.clock.after(1)?;
        let probabilities = softmax(self.logits_of(&pairs, slots)?);
        let predictions: Vec<f64> = match &self.rewards {
            Some(table) => {
                let scores = table.score_slots(&MODEL, &pairs, slots);
                scores.into_iter().map(|(_, score)| self.baseline.1.min(0.0) + score.mean).collect()
            }
            None => vec![self.baseline.1; probabilities.len()],
        };
        let gradient = logit_gradient(&probabilities, &predictions, chosen, reward, propensity);
        gradient.iter().try_for_each(|(_, slope)| check_bounded("gradient of a logit", weight * slope))?;
        let total = self.baseline.0 + weight;
        let mean = self.baseline.1 + weight / total * (reward - self.baseline.1);
        if let Some(table) = &mut self.rewards {
            // This update is the last step that can fail; nothing is written before it.
            table.update(&MODEL, &pairs, chosen, (reward - mean.min(0.0), weight), &mut None)?;
        }
        for (slot, slope) in gradient {
            self.logits.ascend(self.learning_rate, &pairs, slot, weight * slope);
        }
        self.baseline = (total, mean);
        self.clock = clock;
        Ok(())
    }
}

fn softmax(mut logits: Vec<(usize, f64)>) -> Vec<(usize, f64)> {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |largest, (_, logit)| largest.max(*logit));
    logits.iter_mut().for_each(|(_, logit)| *logit = (*logit - largest).exp());
    let sum: f64 = logits.iter().map(|(_, value)| value).sum();
    logits.iter_mut().for_each(|(_, value)| *value /= sum);
    logits
}

/// Gradient of the estimated value Σ_c π_c q_c + (r − q_a)π_a/p of one log row, with respect to the logits. π are the
/// probabilities, q the predicted rewards, r and p the logged reward and propensity, and a is the slot of the logged
/// arm.
///
/// If all predictions equal one number b, the first term is constant, and (r − b)π_a/p remains.
fn logit_gradient(
    probabilities: &[(usize, f64)],
    predictions: &[f64],
    chosen: usize,
    reward: f64,
    propensity: f64,
) -> Vec<(usize, f64)> {
    let expected: f64 =
        probabilities.iter().zip(predictions).map(|((_, probability), value)| probability * value).sum();
    let logged = probabilities.iter().zip(predictions).find(|((slot, _), _)| *slot == chosen);
    let pull = logged.map_or(0.0, |((_, probability), prediction)| (reward - prediction) / propensity * probability);
    let slope = |(&(slot, probability), prediction): (&(usize, f64), &f64)| {
        let own = if slot == chosen { 1.0 } else { 0.0 };
        (slot, probability * (prediction - expected) + pull * (own - probability))
    };
    probabilities.iter().zip(predictions).map(slope).collect()
}

/// Propensity from which a logged choice counts as certain, so that it explored nothing.
const CERTAIN: f64 = 1.0 - 1e-9;

impl Policy for SoftmaxPolicy {
    manages_arms!(self);

    fn dimension(&self) -> usize {
        match self.input {
            Input::Dense(dimension) => dimension,
            Input::Sparse(space) => space.size(),
        }
    }

    fn takes_sparse_contexts(&self) -> bool {
        matches!(self.input, Input::Sparse(_))
    }

    fn select(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Choice> {
        let scored = self.scored(request)?;
        let Clock { version, epoch } = self.clock;
        let chosen = choose::<true, _, _, _>(&ScoredArmsOf(&scored), &RULE, version, rng)?;
        let (arm, Score { mean, width }) = (scored[chosen.index].0, chosen.score);
        let (score, propensity) = (chosen.value, chosen.propensity);
        Ok(Choice { arm, version, score, mean, width, propensity, epoch, propensity_error: 0.0 })
    }

    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        let scored = self.scored(request)?;
        let arms: Vec<ArmId> = scored.iter().map(|(arm, _)| *arm).collect();
        independent_propensities(&RULE, self.clock.version, &arms, &with_freedom(&scored))
    }

    /// Always fails: a gradient needs the propensity of the choice.
    ///
    /// # Errors
    /// [`Error::Unsupported`] in every case.
    fn update(&mut self, _: ArmId, _: &[f64], _: f64, _: f64) -> Result<()> {
        Err(Error::Unsupported { what: "updates without a propensity: learn decisions, or rows of a log" })
    }

    fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
        check_epoch(decision.choice.epoch, self.clock.epoch)?;
        let propensity =
            decision.choice.propensity.ok_or(Error::NoPropensity { estimator: "a policy gradient", round: 0 });
        let (propensity, request) = (propensity?, Request::new(&decision.context));
        crate::log::check_logged_propensity(0, Some(propensity))?;
        self.step(&request, decision.arm(), propensity, reward, 1.0)
    }

    /// Learns the rows of a log in their order: all of them, or none if one is refused.
    ///
    /// # Errors
    /// - [`Error::NeverExplored`] if every row has the propensity 1.
    /// - [`Error::InRound`] if a row has no propensity, or if [`LoggedDecision::check`] or the policy refuses it.
    fn fit(&mut self, log: &[LoggedDecision]) -> Result<()> {
        let certain = |row: &LoggedDecision| row.propensity.is_some_and(|propensity| propensity >= CERTAIN);
        if !log.is_empty() && log.iter().all(certain) {
            return Err(Error::NeverExplored { rows: log.len() });
        }
        self.fit_in_order(log)
    }

    fn fit_row(&mut self, row: &LoggedDecision) -> Result<()> {
        let propensity = row.propensity.ok_or(Error::NoPropensity { estimator: "a policy gradient", round: 0 })?;
        crate::log::check_logged_propensity(0, Some(propensity))?;
        self.step(&row.request()?, row.arm, propensity, row.reward, row.row_weight())
    }
}

header_reader!("softmax-policy");

/// Saved state of a [`SoftmaxPolicy`], which is checked when it is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftmaxState {
    /// Header of the state: the kind of policy and the version of the format.
    #[serde(deserialize_with = "read_header")]
    pub header: StateHeader,
    input: Input,
    learning_rate: f64,
    arms: ArmSetState,
    version: u64,
    epoch: u64,
    baseline: (f64, f64),
    /// Learned weights as (feature index, arm slot, weight, sum of squared gradients), in ascending order.
    logits: Vec<(u32, u32, f64, f64)>,
    rewards: Option<Vec<(u32, u32, f64, f64)>>,
}

impl SoftmaxPolicy {
    /// Returns the state of this policy for saving. A policy loaded from this state is identical, bit for bit.
    pub fn state(&self) -> SoftmaxState {
        SoftmaxState {
            header: StateHeader::new("softmax-policy"),
            input: self.input,
            learning_rate: self.learning_rate,
            arms: self.arms.state(),
            version: self.clock.version,
            epoch: self.clock.epoch,
            baseline: self.baseline,
            logits: self.logits.state(),
            rewards: self.rewards.as_ref().map(Table::state),
        }
    }

    /// Creates a policy from a saved state, after checking the state.
    ///
    /// # Errors
    /// Fails if the state belongs to another kind of policy or has a newer format version, or if weights are out of
    /// range, out of order, or not finite.
    pub fn from_state(state: &SoftmaxState) -> Result<Self> {
        check_header(&state.header, "softmax-policy")?;
        match state.input {
            Input::Dense(dimension) => check_length("dimension", dimension)?,
            Input::Sparse(space) => space.check()?,
        }
        MODEL.check()?;
        check_precision("learning_rate", state.learning_rate)?;
        let (weight, mean) = state.baseline;
        if !(weight >= 0.0 && weight.is_finite() && mean.abs() <= 1e100) {
            let problem = format!("has weight {weight} and mean {mean}, expected finite, not negative");
            return Err(Error::InvalidState { what: "baseline", index: 0, problem });
        }
        let (arms, size) = (ArmSet::from_state(&state.arms)?, state.input.size());
        Ok(Self {
            input: state.input,
            learning_rate: state.learning_rate,
            logits: Table::from_state(size, arms.len(), &state.logits)?,
            rewards: state.rewards.as_ref().map(|rewards| Table::from_state(size, arms.len(), rewards)).transpose()?,
            arms,
            baseline: state.baseline,
            clock: Clock::load(state.version, state.epoch)?,
        })
    }
}

serde_by_state!([] SoftmaxPolicy as SoftmaxState);

#[cfg(test)]
mod tests {
    use super::*;

    /// Estimated value Σ π q + (r − q_a)π_a/p of one log row, with the symbols of `logit_gradient`.
    fn value(logits: &[f64], predictions: &[f64], chosen: usize, reward: f64, propensity: f64) -> f64 {
        let probabilities = softmax(logits.iter().copied().enumerate().collect());
        let expected: f64 = probabilities.iter().zip(predictions).map(|((_, p), q)| p * q).sum();
        expected + (reward - predictions[chosen]) * probabilities[chosen].1 / propensity
    }

    #[test]
    fn gradients_equal_finite_differences() {
        for (predictions, reward, propensity) in
            [([0.3, 0.3, 0.3], 1.0, 0.2), ([0.1, 0.9, -0.4], 0.0, 0.05), ([0.1, 0.9, -0.4], 0.7, 1.0)]
        {
            for chosen in 0..3 {
                let logits = [0.4, -1.2, 0.7];
                let probabilities = softmax(logits.iter().copied().enumerate().collect());
                let gradient = logit_gradient(&probabilities, &predictions, chosen, reward, propensity);
                for slot in 0..3 {
                    let moved = |by: f64| {
                        let mut logits = logits;
                        logits[slot] += by;
                        value(&logits, &predictions, chosen, reward, propensity)
                    };
                    let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                    assert!((gradient[slot].1 - difference).abs() < 1e-8, "{} {difference}", gradient[slot].1);
                }
            }
        }
    }
}
