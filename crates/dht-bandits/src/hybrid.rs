//! LinUCB with hybrid arms: weights that all arms share beside weights of each arm's own.

use crate::arm::{ArmId, ArmSet, ArmSetState};
use crate::best::Best;
use crate::error::{Result, check_finite, check_parameter, check_scalar, check_weight};
use crate::factor::Factors;
use crate::factor_state::{check, check_part};
use crate::index::Index;
use crate::policy::{Choice, Score};
use crate::ridge::RidgeArmState;
use crate::slate::Candidates;
use crate::state::{Header, check_count, check_header};
use rand::Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The settings of a [`Hybrid`] policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HybridOptions {
    /// Prior precision of each arm's own weights θ_a.
    pub lambda: f64,
    /// Prior precision of the shared weights β.
    pub shared_lambda: f64,
}

impl Default for HybridOptions {
    fn default() -> Self {
        Self { lambda: 1.0, shared_lambda: 1.0 }
    }
}

/// The expected reward is z_a'β + x'θ_a: features z_a of the arm (or of arm and context) meet shared weights, the context x meets the arm's.
///
/// Li et al. (2010), Algorithm 2, exactly, but factored: with C_a = A_a⁻¹B_a and y = z − C_a'x,
///
/// mean = y'β + x'A_a⁻¹b_a,  width² = x'A_a⁻¹x + y'A₀⁻¹y,
///
/// and an observation is one rank-one update of A_a (weight w) and one of A₀ (regressor y, weight w/(1 + w·x'A_a⁻¹x)):
/// O(d² + k² + dk) instead of three inversions. What one arm teaches about β serves all, so that new arms start warm.
/// With [`Thompson`](crate::Thompson) each arm's score is drawn alone, from its exact marginal.
#[derive(Debug, Clone)]
pub struct Hybrid<I: Index> {
    options: HybridOptions,
    index: I,
    arms: ArmSet,
    shared: Factors,
    own: Factors,
    // C_a of each arm, d × k, row-major.
    cross: Vec<f64>,
    version: u64,
}

impl<I: Index> Hybrid<I> {
    /// A policy with contexts of length `dimension`, features of length `shared_dimension`, and the arms 0 to `arms` − 1.
    ///
    /// # Errors
    /// A dimension of zero, a setting out of its range.
    pub fn new(
        dimension: usize,
        shared_dimension: usize,
        arms: usize,
        options: HybridOptions,
        index: I,
    ) -> Result<Self> {
        index.check()?;
        check_parameter("dimension", dimension as f64, dimension > 0, "at least 1")?;
        check_parameter("shared_dimension", shared_dimension as f64, shared_dimension > 0, "at least 1")?;
        check_parameter("lambda", options.lambda, options.lambda > 0.0, "positive")?;
        check_parameter("shared_lambda", options.shared_lambda, options.shared_lambda > 0.0, "positive")?;
        let mut shared = Factors::new(shared_dimension);
        shared.push(1.0 / options.shared_lambda);
        let mut own = Factors::new(dimension);
        (0..arms).for_each(|_| own.push(1.0 / options.lambda));
        let cross = vec![0.0; arms * dimension * shared_dimension];
        Ok(Self { options, index, arms: ArmSet::new(arms), shared, own, cross, version: 0 })
    }

    /// The length of a context x.
    pub fn dimension(&self) -> usize {
        self.own.dimension()
    }

    /// The length of an arm's features z.
    pub fn shared_dimension(&self) -> usize {
        self.shared.dimension()
    }

    /// The arms that exist now.
    pub fn arms(&self) -> &ArmSet {
        &self.arms
    }

    /// How many updates this policy has seen.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Adds an arm; of its own it knows only the prior, and shares what is known of β.
    pub fn add_arm(&mut self) -> ArmId {
        self.own.push(1.0 / self.options.lambda);
        self.cross.resize(self.cross.len() + self.dimension() * self.shared_dimension(), 0.0);
        self.arms.add()
    }

    /// Forgets an arm. What it taught about the shared weights stays.
    ///
    /// # Errors
    /// The arm is unknown or removed already.
    pub fn remove_arm(&mut self, arm: ArmId) -> Result<()> {
        let slot = self.arms.remove(arm)?;
        self.own.swap_remove(slot);
        let size = self.dimension() * self.shared_dimension();
        let last = self.cross.len() - size;
        self.cross.copy_within(last.., slot * size);
        self.cross.truncate(last);
        Ok(())
    }

    /// y = z − C_a'x: what is left of the features once the arm's own weights have explained their part.
    fn left(&self, slot: usize, context: &[f64], features: &[f64], y: &mut Vec<f64>) {
        y.clear();
        y.extend_from_slice(features);
        let width = features.len();
        let rows = self.cross[slot * context.len() * width..].chunks_exact(width);
        for (row, value) in rows.zip(context) {
            row.iter().zip(&mut *y).for_each(|(entry, left)| *left -= entry * value);
        }
    }

    fn score_slot(&self, slot: usize, context: &[f64], features: &[f64], y: &mut Vec<f64>) -> Score {
        self.left(slot, context, features, y);
        let (own, shared) = (self.own.score(slot, context), self.shared.score(0, y));
        Score { mean: own.mean + shared.mean, width: own.width.hypot(shared.width) }
    }

    /// Mean and width of one arm.
    ///
    /// # Errors
    /// A context or features of the wrong length or not finite; an unknown or removed arm.
    pub fn score(&self, arm: ArmId, context: &[f64], features: &[f64]) -> Result<Score> {
        check_finite("context", context, self.dimension())?;
        check_finite("features", features, self.shared_dimension())?;
        Ok(self.score_slot(self.arms.slot(arm)?, context, features, &mut Vec::new()))
    }

    /// Chooses the candidate of the highest index; a candidate's row holds its features z.
    ///
    /// # Errors
    /// A context or features of the wrong length or not finite, an unknown or removed arm, no candidate, scores that
    /// overflow.
    pub fn select<R: Rng + ?Sized>(&self, context: &[f64], candidates: Candidates<'_>, rng: &mut R) -> Result<Choice> {
        check_finite("context", context, self.dimension())?;
        let width = self.shared_dimension();
        candidates.check(width)?;
        for &arm in candidates.arms {
            self.arms.slot(arm)?;
        }
        let mut y = Vec::with_capacity(width);
        let mut best = Best::new();
        for (place, &arm) in candidates.arms.iter().enumerate() {
            let slot = self.arms.slot(arm)?;
            let score = self.score_slot(slot, context, candidates.context(place, width), &mut y);
            best = best.or(slot, self.index.value(score, rng), score, rng);
        }
        check_scalar("score", best.value)?;
        let Best { slot, value, score: Score { mean, width }, ties } = best;
        let propensity = (!I::DRAWS && self.index.uniform_share() == 0.0).then(|| 1.0 / f64::from(ties));
        Ok(Choice { arm: self.arms.id(slot), version: self.version, score: value, mean, width, propensity })
    }

    /// Learns that `arm` gave `reward` in `context` with these features.
    ///
    /// # Errors
    /// As [`score`](Self::score); a reward that is not finite, a weight that is not positive, numbers that overflow. The
    /// policy is unchanged then.
    pub fn update(&mut self, arm: ArmId, context: &[f64], features: &[f64], reward: f64, weight: f64) -> Result<()> {
        check_finite("context", context, self.dimension())?;
        check_finite("features", features, self.shared_dimension())?;
        check_scalar("reward", reward)?;
        check_weight(weight)?;
        let slot = self.arms.slot(arm)?;
        let mut y = Vec::with_capacity(features.len());
        self.left(slot, context, features, &mut y);
        let own = self.own.look(slot, context);
        let shared = self.shared.look(0, &y);
        let residual = reward - own.mean;
        let share = weight / (1.0 + weight * own.variance);
        let shared_step = share * (residual - shared.mean) / (1.0 + share * shared.variance);
        check_scalar("step", share * residual)?;
        check_scalar("variance", weight * own.variance)?;
        check_scalar("shared step", shared_step)?;
        check_scalar("weight times context", weight * self.own.largest_seen())?;
        check_scalar("weight times features", share * self.shared.largest_seen())?;
        self.own.absorb(slot, weight, share * residual);
        self.shared.absorb(0, share, shared_step);
        let size = context.len() * features.len();
        let rows = self.cross[slot * size..][..size].chunks_exact_mut(features.len());
        for (coordinate, row) in rows.enumerate() {
            let gain = share * self.own.gain(coordinate);
            row.iter_mut().zip(&y).for_each(|(entry, left)| *entry += gain * left);
        }
        self.version += 1;
        Ok(())
    }
}

/// A saved [`Hybrid`]: independent of the memory layout, checked when it is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HybridState<I> {
    /// What this is a state of.
    pub header: Header,
    dimension: usize,
    shared_dimension: usize,
    options: HybridOptions,
    index: I,
    arms: ArmSetState,
    version: u64,
    shared: RidgeArmState,
    own: Vec<RidgeArmState>,
    cross: Vec<f64>,
}

fn arm_state(factors: &Factors, slot: usize) -> RidgeArmState {
    let parts = factors.parts(slot);
    RidgeArmState { mean: parts.mean, diagonal: parts.diagonal, upper: parts.upper, updates: 0, information: None }
}

impl<I: Index> Hybrid<I> {
    fn kind() -> String {
        format!("hybrid/{}", I::NAME)
    }

    /// All that this policy is, to be saved. Loading it gives the same policy, to the bit.
    pub fn state(&self) -> HybridState<I> {
        HybridState {
            header: Header::of(Self::kind()),
            dimension: self.dimension(),
            shared_dimension: self.shared_dimension(),
            options: self.options,
            index: self.index.clone(),
            arms: self.arms.state(),
            version: self.version,
            shared: arm_state(&self.shared, 0),
            own: (0..self.arms.len()).map(|slot| arm_state(&self.own, slot)).collect(),
            cross: self.cross.clone(),
        }
    }

    /// The policy of a saved state.
    ///
    /// # Errors
    /// A state of another kind or a newer version, or one that contradicts itself.
    pub fn from_state(state: &HybridState<I>) -> Result<Self> {
        check_header(&state.header, &Self::kind())?;
        let (d, k) = (state.dimension, state.shared_dimension);
        let blank = Self::new(d, k, 0, state.options, state.index.clone())?;
        let arms = ArmSet::from_state(&state.arms)?;
        check_count("learned arms", state.own.len(), arms.len())?;
        let size = arms.len().checked_mul(d).and_then(|size| size.checked_mul(k)).unwrap_or(usize::MAX);
        check_part("cross terms", 0, &state.cross, size, false)?;
        let mut policy = Self { arms, cross: state.cross.clone(), version: state.version, ..blank };
        let saved = &state.shared;
        check(k, 0, &saved.mean, &saved.diagonal, &saved.upper)?;
        policy.shared.set(0, &saved.mean, &saved.diagonal, &saved.upper);
        for (slot, saved) in state.own.iter().enumerate() {
            check(d, slot, &saved.mean, &saved.diagonal, &saved.upper)?;
            policy.own.push(1.0);
            policy.own.set(slot, &saved.mean, &saved.diagonal, &saved.upper);
        }
        Ok(policy)
    }
}

impl<I: Index> Serialize for Hybrid<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.state().serialize(serializer)
    }
}

impl<'de, I: Index> Deserialize<'de> for Hybrid<I> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_state(&HybridState::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
