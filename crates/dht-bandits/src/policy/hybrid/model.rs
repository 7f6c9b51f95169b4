//! Hybrid policy, in which arms have shared weights and weights of their own: state, scores, choices and updates.

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::arm::ArmId;
use crate::arm_set::ArmSet;
use crate::clock::Clock;
use crate::decision::{Choice, Decision, Featured, QUADRATURE_ERROR, Request};
use crate::error::Result;
use crate::exploration::Exploration;
use crate::gaussian::{Factors, Score, check_dimension};
use crate::policy::Policy;
use crate::policy::choose::{ScoredArms, ScoredChoice, choose};
use crate::policy::propensity::{FreeScore, independent_propensity};
use crate::validate::{
    check_bounded, check_context, check_finite, check_parameter, check_precision, check_scalar, check_weight, reserve,
};

/// Prior precisions of a [`Hybrid`] policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HybridOptions {
    /// Prior precision of each arm's own weights θ_a.
    #[serde(alias = "lambda")]
    pub prior_precision: f64,
    /// Prior precision of the shared weights β.
    #[serde(alias = "shared_lambda")]
    pub shared_prior_precision: f64,
}

/// Policy in which some weights are shared by all arms and others belong to one arm (hybrid LinUCB). The expected
/// reward is z_a'β + x'θ_a. The features z_a of the arm (or of arm and context) have the shared weights β; the context
/// x has the weights θ_a of the arm.
///
/// The algorithm is exactly Li et al. (2010), Algorithm 2, but in factored form. With the paper's matrices A_a, B_a and
/// A₀, its vector b_a, C_a = A_a⁻¹B_a and y = z − C_a'x,
///
/// mean = y'β + x'A_a⁻¹b_a, width² = x'A_a⁻¹x + y'A₀⁻¹y.
///
/// An observation is one rank-one update of A_a (weight w) and one of A₀ (regressor y, weight w/(1 + w·x'A_a⁻¹x)). It
/// costs O(d² + k² + dk), where Algorithm 2 inverts three matrices. Rewards of one arm also inform the shared weights
/// of all others, so that a new arm starts with a useful estimate. With [`Thompson`](crate::Thompson), each arm's score
/// is drawn independently, from its exact marginal distribution.
///
/// ```
/// use dht_bandits::policy::Hybrid;
/// use dht_bandits::{ArmId, Request, Ucb};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut policy = Hybrid::new(1, 2, 2, 1.0, Ucb { alpha: 0.1 })?;
/// let arms = [0, 1].map(ArmId::new);
/// policy.update(arms[1], &[1.0], &[0.0, 1.0], 1.0, 1.0)?;
/// let features = [1.0, 0.0, 0.0, 1.0]; // one row for each arm
/// let request = Request::new(&[1.0]).featured(&arms, &features, 2)?;
/// let choice = policy.select(&request, &mut ChaCha8Rng::seed_from_u64(7))?;
/// assert_eq!(choice.arm, arms[1]);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Hybrid<E: Exploration> {
    pub(super) options: HybridOptions,
    pub(super) exploration: E,
    pub(super) arms: ArmSet,
    pub(super) shared: Factors,
    pub(super) own: Factors,
    // Matrix C_a of each arm, shape (d, k), row-major.
    pub(super) cross: Vec<f64>,
    pub(super) clock: Clock,
    // Residual features y of the observation that is being learned, in reused memory.
    pub(super) residual_features: Vec<f64>,
}

/// Largest number of arm features for which a score is computed on the stack, without allocation.
const STACK_FEATURES: usize = 128;

impl<E: Exploration> Hybrid<E> {
    /// Creates a policy with the arms 0 to `arms` − 1, contexts of length `dimension`, and features of length
    /// `shared_dimension`. All weights have the prior precision λ = `prior_precision`;
    /// [`with_shared_prior_precision`](Self::with_shared_prior_precision) sets another precision for the shared
    /// weights.
    ///
    /// # Errors
    /// Fails if a dimension is zero or above 65,536, if there are more than 16,777,216 arms, or if a setting is out of
    /// its range. [`Error::Memory`](crate::Error::Memory) if the policy needs more memory than is available, or more
    /// than 1 TiB.
    pub fn new(
        dimension: usize,
        shared_dimension: usize,
        arms: usize,
        prior_precision: f64,
        exploration: E,
    ) -> Result<Self> {
        let options = HybridOptions { prior_precision, shared_prior_precision: prior_precision };
        Self::with_options(dimension, shared_dimension, arms, options, exploration)
    }

    /// Sets the prior precision of the shared weights β.
    ///
    /// # Errors
    /// Fails if the precision is out of its range, or if the policy has already learned rewards.
    pub fn with_shared_prior_precision(self, shared_prior_precision: f64) -> Result<Self> {
        let learned = self.clock.version as f64;
        check_parameter("rewards learned", learned, learned == 0.0, "0 to set a prior precision")?;
        check_precision("shared_prior_precision", shared_prior_precision)?;
        let mut policy = self;
        policy.options.shared_prior_precision = shared_prior_precision;
        policy.shared.reset(0, 1.0 / shared_prior_precision);
        Ok(policy)
    }

    /// Creates a policy with two prior precisions, one for the arms' own weights and one for the shared weights.
    pub(crate) fn with_options(
        dimension: usize,
        shared_dimension: usize,
        arms: usize,
        options: HybridOptions,
        exploration: E,
    ) -> Result<Self> {
        exploration.check()?;
        check_dimension(dimension)?;
        check_dimension(shared_dimension)?;
        check_precision("prior_precision", options.prior_precision)?;
        check_precision("shared_prior_precision", options.shared_prior_precision)?;
        let set = ArmSet::new(arms)?;
        let mut shared = Factors::new(shared_dimension);
        shared.reserve(1)?;
        let (own, cross) = (Factors::new(dimension), Vec::new());
        let (clock, residual_features) = (Clock::default(), Vec::with_capacity(shared_dimension));
        let mut policy = Self { options, exploration, arms: set, shared, own, cross, clock, residual_features };
        // All memory is reserved before any of it is written to.
        policy.reserve(arms)?;
        policy.shared.push(1.0 / options.shared_prior_precision);
        (0..arms).for_each(|_| policy.own.push(1.0 / options.prior_precision));
        policy.cross.resize(arms * dimension * shared_dimension, 0.0);
        Ok(policy)
    }

    /// Reserves memory for `arms` more arms, so that adding them cannot fail.
    pub(super) fn reserve(&mut self, arms: usize) -> Result<()> {
        self.own.reserve(arms)?;
        let size = self.dimension() * self.shared_dimension();
        reserve("arms × dimension × shared dimension", &mut self.cross, arms.checked_mul(size))
    }

    /// Creates a policy with the same shared weights and a single arm, a copy of the arm in `slot`.
    pub(super) fn with_one_arm(&self, slot: usize) -> Result<Self> {
        let (d, k) = (self.dimension(), self.shared_dimension());
        let mut copy = Self::with_options(d, k, 1, self.options, self.exploration.clone())?;
        let (own, shared) = (self.own.parts(slot), self.shared.parts(0));
        copy.own.set(0, &own.mean, &own.diagonal, &own.upper);
        copy.shared.set(0, &shared.mean, &shared.diagonal, &shared.upper);
        copy.cross.copy_from_slice(&self.cross[slot * d * k..][..d * k]);
        copy.clock = self.clock;
        Ok(copy)
    }

    /// Length of an arm's features z.
    pub fn shared_dimension(&self) -> usize {
        self.shared.dimension()
    }

    /// Prior precisions as a pair: first of each arm's own weights θ_a, then of the shared weights β.
    pub fn prior_precisions(&self) -> (f64, f64) {
        (self.options.prior_precision, self.options.shared_prior_precision)
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

    pub(super) fn reserve_arm(&mut self, _like: Option<usize>) -> Result<()> {
        self.reserve(1)
    }

    pub(super) fn push_arm(&mut self, _arm: ArmId, like: Option<usize>) {
        let size = self.dimension() * self.shared_dimension();
        match like {
            Some(slot) => {
                self.own.push_copy(slot);
                self.cross.extend_from_within(slot * size..(slot + 1) * size);
            }
            None => {
                self.own.push(1.0 / self.options.prior_precision);
                self.cross.resize(self.cross.len() + size, 0.0);
            }
        }
    }

    pub(super) fn copy_slot(&mut self, from: usize, to: usize) -> Result<()> {
        self.own.copy(from, to);
        let size = self.dimension() * self.shared_dimension();
        self.cross.copy_within(from * size..(from + 1) * size, to * size);
        Ok(())
    }

    pub(super) fn remove_slot(&mut self, _arm: ArmId, slot: usize) {
        self.own.swap_remove(slot);
        let size = self.dimension() * self.shared_dimension();
        let last = self.cross.len() - size;
        self.cross.copy_within(last.., slot * size);
        self.cross.truncate(last);
    }

    /// Computes the residual features y = z − C_a'x of an arm (see [`Hybrid`] for C_a): its features z without the part
    /// that the context x explains through the arm's own weights. On entry, `y` holds z.
    fn subtract(&self, slot: usize, context: &[f64], y: &mut [f64]) {
        let rows = self.cross[slot * context.len() * y.len()..].chunks_exact(y.len());
        for (row, value) in rows.zip(context) {
            row.iter().zip(&mut *y).for_each(|(entry, left)| *left -= entry * value);
        }
    }

    fn score_slot(&self, slot: usize, context: &[f64], features: &[f64]) -> Score {
        if features.len() > STACK_FEATURES {
            return self.score_in(slot, context, &mut features.to_vec());
        }
        let mut space = [0.0; STACK_FEATURES];
        let y = &mut space[..features.len()];
        y.copy_from_slice(features);
        self.score_in(slot, context, y)
    }

    /// Score of the arm in a slot. On entry, `y` holds the arm's features; the call overwrites it.
    fn score_in(&self, slot: usize, context: &[f64], y: &mut [f64]) -> Score {
        self.subtract(slot, context, y);
        let (own, shared) = (self.own.score(slot, context), self.shared.score(0, y));
        Score { mean: own.mean + shared.mean, width: own.width.hypot(shared.width) }
    }

    /// Posterior mean and standard deviation (width) of an arm's score, for a context and the arm's features.
    ///
    /// # Errors
    /// Fails if the context or the features have the wrong length or are not finite, if the arm is unknown or removed,
    /// or if the score overflows.
    pub fn score(&self, arm: ArmId, context: &[f64], features: &[f64]) -> Result<Score> {
        check_finite("context", context, self.dimension())?;
        check_finite("features", features, self.shared_dimension())?;
        self.score_slot(self.arms.slot(arm)?, context, features).checked()
    }

    /// Chooses one of the arms of a request, which must have features z ([`Request::featured`]). The call does not
    /// allocate for up to 128 features. The choice contains its propensity if that takes no further pass over the arms;
    /// [`decide`](Self::decide) always computes it.
    ///
    /// # Errors
    /// Fails if the context has the wrong length or is not finite, if features are missing or have the wrong length, if
    /// an arm is unknown or removed, or if a score overflows.
    pub fn select<R: Rng + ?Sized>(&self, request: &Request<'_>, rng: &mut R) -> Result<Choice> {
        Ok(self.choose::<false, R>(request, rng)?.1)
    }

    /// Arms of a request with their features, after a check of context, features and arm ids.
    pub(super) fn candidates<'a>(&'a self, request: &Request<'a>) -> Result<Candidates<'a, E>> {
        check_finite("context", request.context, self.dimension())?;
        let featured = request.actions.features(self.shared_dimension())?;
        featured.ids().iter().try_for_each(|&arm| self.arms.slot(arm).map(drop))?;
        Ok(Candidates { policy: self, context: request.context, featured })
    }

    /// Chooses an arm. Returns its position in the request, and the choice.
    fn choose<const PROPENSITY: bool, R: Rng + ?Sized>(
        &self,
        request: &Request<'_>,
        rng: &mut R,
    ) -> Result<(usize, Choice)> {
        let candidates = self.candidates(request)?;
        let chosen = choose::<PROPENSITY, _, _, _>(&candidates, &self.exploration, self.clock.version, rng)?;
        let ScoredChoice { index, value, score: Score { mean, width }, propensity } = chosen;
        let (arm, Clock { version, epoch }) = (candidates.featured.ids()[index], self.clock);
        let choice = Choice { arm, version, score: value, mean, width, propensity, epoch, propensity_error: 0.0 };
        Ok((index, choice))
    }

    /// Chooses one of the arms of a request, and returns the choice with its exact propensity. For learning the reward
    /// later, the decision also stores the context, followed by the features of the arm.
    ///
    /// # Errors
    /// Fails as [`select`](Self::select) does.
    pub fn decide<R: Rng + ?Sized>(&self, request: &Request<'_>, rng: &mut R) -> Result<Decision> {
        let (position, mut choice) = self.choose::<true, R>(request, rng)?;
        let featured = request.actions.features(self.shared_dimension())?;
        if choice.propensity.is_none() {
            let scores = self.candidates(request)?.scores();
            choice.propensity = Some(independent_propensity(&self.exploration, self.clock.version, &scores, position)?);
            choice.propensity_error = QUADRATURE_ERROR;
        }
        Ok(Decision { choice, context: [request.context, featured.at(position)].concat() })
    }

    /// Learns that `arm`, which had these features, earned `reward` in `context`.
    ///
    /// # Errors
    /// Fails as [`score`](Self::score) does, if the reward is not finite, if the weight is not positive, if a value
    /// overflows, or beyond 2⁶³ − 1 updates. After an error the policy is unchanged.
    pub fn update(&mut self, arm: ArmId, context: &[f64], features: &[f64], reward: f64, weight: f64) -> Result<()> {
        check_finite("context", context, self.dimension())?;
        check_finite("features", features, self.shared_dimension())?;
        check_scalar("reward", reward)?;
        check_weight(weight)?;
        let slot = self.arms.slot(arm)?;
        // Taken out of `self`, so that it can be written to while `self` is read.
        let mut y = std::mem::take(&mut self.residual_features);
        y.clear();
        y.extend_from_slice(features);
        self.subtract(slot, context, &mut y);
        let outcome = self.update_factors(slot, context, &y, reward, weight);
        self.residual_features = y;
        outcome
    }

    fn update_factors(&mut self, slot: usize, context: &[f64], y: &[f64], reward: f64, weight: f64) -> Result<()> {
        check_context(context)?;
        check_context(y)?;
        let clock = self.clock.after(1)?;
        let own = self.own.project(slot, context);
        let shared = self.shared.project(0, y);
        let residual = reward - own.mean;
        let share = weight / (1.0 + weight * own.variance);
        let shared_step = share * (residual - shared.mean) / (1.0 + share * shared.variance);
        let (largest, largest_shared) = (self.own.largest_projected(), self.shared.largest_projected());
        check_bounded("step", share * residual)?;
        check_bounded("variance", own.variance)?;
        check_bounded("weight times variance", weight * own.variance)?;
        check_bounded("factor times context", largest)?;
        check_bounded("weight times factor times context", weight * largest)?;
        check_bounded("shared step", shared_step)?;
        check_bounded("shared variance", shared.variance)?;
        check_bounded("shared factor times features", largest_shared)?;
        check_bounded("weight times shared factor times features", share * largest_shared)?;
        self.own.rank_one_update(slot, weight, share * residual);
        self.shared.rank_one_update(0, share, shared_step);
        let size = context.len() * y.len();
        let rows = self.cross[slot * size..][..size].chunks_exact_mut(y.len());
        for (coordinate, row) in rows.enumerate() {
            let gain = share * self.own.gain(coordinate);
            row.iter_mut().zip(y).for_each(|(entry, left)| *entry += gain * left);
        }
        self.clock = clock;
        Ok(())
    }
}

/// Arms of a request with their features, for computing the arms' scores one at a time. All ids must belong to existing
/// arms.
pub(super) struct Candidates<'a, E: Exploration> {
    pub(super) policy: &'a Hybrid<E>,
    pub(super) context: &'a [f64],
    pub(super) featured: Featured<'a>,
}

impl<E: Exploration> Candidates<'_, E> {
    /// Scores of the arms, with infinite degrees of freedom, because Thompson sampling draws them from Gaussians.
    pub(super) fn scores(&self) -> Vec<FreeScore> {
        (0..self.count()).map(|position| (self.at(position).1, f64::INFINITY)).collect()
    }
}

impl<E: Exploration> ScoredArms for Candidates<'_, E> {
    fn count(&self) -> usize {
        self.featured.ids().len()
    }

    fn fold<T>(&self, first: T, mut gather: impl FnMut(T, usize, Score) -> T) -> T {
        (0..self.count()).fold(first, |folded, position| gather(folded, position, self.at(position).1))
    }

    fn at(&self, position: usize) -> (usize, Score) {
        let slot = self.policy.arms.slot(self.featured.ids()[position]).unwrap_or_default();
        (position, self.policy.score_slot(slot, self.context, self.featured.at(position)))
    }
}
