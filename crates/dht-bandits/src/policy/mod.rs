//! Policies: a posterior and an exploration rule over arms that are added and removed.
//!
//! * [`Request`] and [`Actions`]: a context, and what may be chosen in it.
//! * [`Policy`], the trait, with [`Choice`], [`Decision`] and [`Observation`]: a choice now, its reward later.
//!   [`SlatePolicy`]: several items at once.
//! * [`Disjoint`]: arms with weights of their own. [`Hybrid`]: shared weights beside them. [`TopK`]: slates of K arms.
//! * [`LinUcb`], [`LinTs`], [`LogisticTs`] and so on: pairs of a posterior and a rule under the names of the
//!   literature.
//! * [`ContextFree`]: UCB1 and Beta-Thompson sampling, which ignore contexts.
//! * [`drift`]: policies for worlds that move. [`AnyPolicy`]: one of these by settings; [`Normalised`]: a policy with the scaling of its contexts.
//! * [`Uniform`] and [`Fixed`]: baselines that do not learn.
//! * [`Delta`], [`HybridDelta`], [`AnyDelta`]: what a policy has learned, to be merged elsewhere. [`Propensity`]: how likely a choice was.

mod any;
mod baselines;
mod choose;
mod cloning;
mod context_free;
mod disjoint;
pub mod drift;
pub(crate) mod forward;
mod hybrid;
mod normalised;
mod oracle;
mod propensity;
mod request;
pub mod snapshot;
mod top_k;

use crate::clock::check_epoch;
use crate::error::{Error, Result};
use crate::exploration::{Greedy, Thompson, Ucb};
use crate::posterior::{DiagonalLaplace, FullLaplace, NormalInverseGamma, Ridge};
use rand::Rng;
use serde::{Deserialize, Serialize};

pub use crate::arm::ArmId;
pub use crate::arm_set::ArmSet;
#[doc(hidden)]
pub use crate::saved_state::StateHeader;
pub use any::{
    AnyDelta, AnyPolicy, AnyRule, InteractionSettings, NormaliserSettings, PolicyKind, PolicySettings, RewardType,
};
pub use baselines::{Fixed, Uniform};
#[doc(hidden)]
pub use cloning::ClonePolicy;
pub use context_free::{ArmStatistics, BetaThompson, ContextFree, ContextFreeRule, Ucb1};
pub use disjoint::{ChoiceBatch, Delta, Disjoint};
pub use hybrid::{Hybrid, HybridDelta, HybridOptions};
pub use normalised::Normalised;
pub use oracle::{Oracle, OraclePolicy};
pub use propensity::{Propensity, QUADRATURE_ERROR};
pub use request::{Actions, Featured, Request};
pub use top_k::{ArmFeedback, Draw, Feedback, SharedPropensity, Sharing, Slate, SlatePolicy, TopK};

/// LinUCB with disjoint arms (Li et al. 2010, Algorithm 1).
pub type LinUcb = Disjoint<Ridge, Ucb>;
/// Linear Thompson sampling with disjoint arms (Agrawal & Goyal 2013).
pub type LinTs = Disjoint<Ridge, Thompson>;
/// Linear Thompson sampling that learns the variance of its noise (Riquelme, Tucker & Snoek 2018).
pub type NoisyLinTs = Disjoint<NormalInverseGamma, Thompson>;
/// LinUCB with hybrid arms (Li et al. 2010, Algorithm 2).
pub type HybridLinUcb = Hybrid<Ucb>;
/// LinUCB with one vector of weights for all candidates, which differ by their features ([`TopK::shared`]; slates of
/// one are single choices).
pub type SharedLinUcb = TopK<Ridge, Ucb>;
/// Linear Thompson sampling with one vector of weights for all candidates, drawn once a slate.
pub type SharedLinTs = TopK<Ridge, Thompson>;
/// Contextual ε-greedy: ridge regressions, explored uniformly.
pub type EpsilonGreedy = Disjoint<Ridge, Greedy>;
/// Logistic Thompson sampling with diagonal posteriors (Chapelle & Li 2011, Algorithm 3).
pub type DiagonalLogisticTs = Disjoint<DiagonalLaplace, Thompson>;
/// Logistic Thompson sampling with full Laplace posteriors.
pub type LogisticTs = Disjoint<FullLaplace, Thompson>;
/// Logistic upper confidence bounds with full Laplace posteriors, on log-odds.
pub type LogisticUcb = Disjoint<FullLaplace, Ucb>;
/// The top-K semi-bandit by Thompson sampling over logistic regressions with diagonal posteriors.
pub type TopKThompson = TopK<DiagonalLaplace, Thompson>;

/// An arm that a policy chose, with its scores and propensity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The chosen arm.
    pub arm: ArmId,
    /// The number of updates the policy had learned from: what it has learned since is its version now minus this one,
    /// unless it was restored from an older save.
    pub version: u64,
    /// The value of the exploration rule that won: mean + α·width for an upper confidence bound, a draw for Thompson
    /// sampling.
    pub score: f64,
    /// The posterior mean of the arm.
    pub mean: f64,
    /// The posterior width of the arm.
    pub width: f64,
    /// The probability of this choice; in a slate, of showing this arm. `decide` gives it, unless the policy was told to
    /// leave it out ([`SharedPropensity::Omitted`]). `select` gives it where it costs nothing.
    pub propensity: Option<f64>,
    /// How often the policy had expired decisions: it learns from those of its own epoch.
    #[serde(default)]
    pub epoch: u64,
    /// The error of the propensity: 0 where it is exact but for rounding, a bound of 1e-9 where it is an integral, and a
    /// standard error where it is an estimate ([`SharedPropensity`]).
    #[serde(default)]
    pub propensity_error: f64,
}

impl Choice {
    /// Keeps the context beside the choice, for feedback that comes later.
    pub fn with_context(self, context: &[f64]) -> Decision {
        Decision { choice: self, context: context.to_vec() }
    }
}

/// A choice and the context it was made in: to be kept until the reward arrives.
///
/// It may wait in memory, in a queue or in a database (it implements serde), while the policy learns from others. A
/// policy that was restored from its last save takes the decisions that were made after that save, too: what counts is
/// not the version but the epoch, which moves only when decisions are expired. Save a policy after each expiry: one
/// restored from an older save refuses the decisions that were made after that expiry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The choice.
    pub choice: Choice,
    /// The context, as the policy saw it: with the scaling of that time.
    pub context: Vec<f64>,
}

impl Decision {
    /// The chosen arm.
    pub fn arm(&self) -> ArmId {
        self.choice.arm
    }
}

/// A contextual bandit: chooses one of its arms in a context, and learns from the reward.
///
/// Choosing takes `&self`: many readers may choose from one policy at once. Nothing learned depends on the generator;
/// the same state, request and generator give the same choice, to the bit.
///
/// `Box<dyn Policy>` is a policy too: it is cloned with what it has learned, sent between threads, and its arms come and go.
/// A policy of your own needs `Clone`, and the methods without a default.
///
/// ```
/// use dht_bandits::{LinUcb, Policy, Request, RidgeOptions, Ucb, policy::Uniform};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let mut policies: Vec<Box<dyn Policy>> = vec![
///     Box::new(LinUcb::new(2, 3, RidgeOptions::default(), Ucb { alpha: 0.5 })?),
///     Box::new(Uniform::new(2, 3)?),
/// ];
/// for policy in &mut policies {
///     let decision = policy.decide(&Request::new(&[1.0, 0.2]), &mut rng)?;
///     assert_eq!(decision.choice.propensity, Some(1.0 / 3.0)); // the ties of a new LinUCB
///     policy.learn(&decision, 1.0)?;
///     let added = policy.clone().add_arm()?; // a copy has a fourth arm
///     assert_eq!((added.number(), policy.arms().len()), (3, 3));
/// }
/// # Ok::<(), dht_bandits::Error>(())
/// ```
pub trait Policy: Send + Sync + ClonePolicy {
    /// The length of a context.
    fn dimension(&self) -> usize;

    /// The arms that exist now.
    fn arms(&self) -> &ArmSet;

    /// The number of updates this policy has learned from.
    fn version(&self) -> u64;

    /// How often this policy has expired decisions; it learns from those of its own epoch.
    fn epoch(&self) -> u64 {
        0
    }

    /// Whether a decision keeps the features of the chosen arm, after the context.
    fn keeps_features(&self) -> bool {
        false
    }

    /// Chooses one of the arms of a request, without keeping the context; does not allocate. The choice may lack its
    /// propensity where that is an integral.
    ///
    /// # Errors
    /// A context of the wrong length or not finite, an unknown or removed arm, nothing available, missing features.
    fn select(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Choice>;

    /// Chooses, and keeps with the choice what is learned from later: the context, for policies whose arms have
    /// features followed by those of the chosen arm. The choice carries its propensity.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    fn decide(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Decision> {
        let mut choice = self.select(request, rng)?;
        if choice.propensity.is_none() {
            let propensities = self.propensities(request)?;
            if let Some(entry) = propensities.iter().find(|entry| entry.arm == choice.arm) {
                (choice.propensity, choice.propensity_error) = (Some(entry.probability), entry.standard_error);
            }
        }
        Ok(choice.with_context(request.context))
    }

    /// The probability with which each available arm is chosen; their sum is 1. Depends on no generator.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>>;

    /// Learns that `arm` gave `reward` in `context`, as [`decide`](Self::decide) keeps it; a weight of 2 counts the
    /// observation twice.
    ///
    /// # Errors
    /// As `select`; a reward out of the model's range, a weight that is not positive. The policy is unchanged then.
    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()>;

    /// Whether [`update`](Self::update) would take this observation, which is not learned: `Ok(true)` if it would, and
    /// `Ok(false)`, the default, where only learning tells. [`Normalised`] asks, and tries it on a copy where it is not told.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    fn check_update(&self, _arm: ArmId, _context: &[f64], _reward: f64, _weight: f64) -> Result<bool> {
        Ok(false)
    }

    /// Learns the reward of a decision, made now or long ago.
    ///
    /// # Errors
    /// As [`update`](Self::update), and a decision of another epoch.
    fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
        check_epoch(decision.choice.epoch, self.epoch())?;
        self.update(decision.choice.arm, &decision.context, reward, 1.0)
    }

    /// Learns rewards that arrived together: all of them, or none if one is refused. The default learns one after the other
    /// on a copy of the policy.
    ///
    /// # Errors
    /// As [`learn`](Self::learn), for the first observation that is refused. The policy is unchanged then.
    fn learn_batch(&mut self, observations: &[Observation]) -> Result<()> {
        self.learn_in_order(observations)
    }

    /// Adds an arm that has learned nothing, under the number after the largest that was ever given.
    ///
    /// # Errors
    /// [`Error::Unsupported`], the default: a policy whose arms do not change. No number is left; memory that cannot be had.
    fn add_arm(&mut self) -> Result<ArmId> {
        Err(Error::Unsupported { what: "adding arms" })
    }

    /// Adds an arm that has learned nothing under an id of the caller's, which may be any that was never given: workers that
    /// add the same arm independently must agree on its id to merge later.
    ///
    /// # Errors
    /// As [`add_arm`](Self::add_arm); the id is taken, or is that of a removed arm, or its number is not below 2⁶³.
    fn insert_arm(&mut self, _arm: ArmId) -> Result<()> {
        Err(Error::Unsupported { what: "adding arms" })
    }

    /// Adds an arm that starts with what `like` has learned, under the number after the largest that was ever given.
    ///
    /// # Errors
    /// As [`add_arm`](Self::add_arm); `like` is unknown or removed.
    fn add_arm_like(&mut self, _like: ArmId) -> Result<ArmId> {
        Err(Error::Unsupported { what: "adding arms" })
    }

    /// Removes an arm for good: its id is never reused, and policies that are merged with this one lose it too. Later rewards
    /// of its decisions are refused as [`Error::RemovedArm`], and with one of them the whole [`learn_batch`](Self::learn_batch):
    /// leave them out by [`ArmSet::contains`].
    ///
    /// # Errors
    /// [`Error::Unsupported`], the default; the arm is unknown or removed already.
    fn remove_arm(&mut self, _arm: ArmId) -> Result<()> {
        Err(Error::Unsupported { what: "removing arms" })
    }

    /// Begins the next epoch: decisions made before are refused from now on. To be followed by a save.
    ///
    /// # Errors
    /// [`Error::Unsupported`], the default: a policy whose decisions do not expire.
    fn expire_decisions(&mut self) -> Result<()> {
        Err(Error::Unsupported { what: "expiring decisions" })
    }
}

/// One reward of a batch that arrived together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The decision it belongs to.
    pub decision: Decision,
    /// The reward.
    pub reward: f64,
    /// How much it counts; 1 is once.
    pub weight: f64,
}

impl Observation {
    /// A reward that counts once.
    pub fn new(decision: Decision, reward: f64) -> Self {
        Self { decision, reward, weight: 1.0 }
    }
}
