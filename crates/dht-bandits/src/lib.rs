//! Contextual bandits: choose now, learn later.
//!
//! A policy is shown a context, chooses one of its arms, and some time later is told what came of it. It must find out
//! which arm is best where, and lose little on the way.
//!
//! ```text
//!   raw numbers ──▶ Normalizer, PyramidPool, columns ──▶ context
//!                                                            │
//!            arms that may be chosen now (Available) ──▶  select ──▶ Choice ──▶ Decision ─┐
//!                                                            ▲                            │ waits for its
//!                 posterior × index × arms ──────────────────┘                            │ reward, anywhere
//!                            ▲                                                            │
//!                            └────────────────────────── learn ◀──────────────────────────┘
//! ```
//!
//! # The shortest honest program
//!
//! ```
//! use dht_bandits::{Available, LinUcb, RidgeOptions, Ucb};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! let mut rng = ChaCha8Rng::seed_from_u64(7);
//! // Contexts of two numbers, three arms, ridge λ = 1, exploration α = .5.
//! let mut policy = LinUcb::new(2, 3, RidgeOptions::with_lambda(1.0), Ucb { alpha: 0.5 })?;
//! for round in 0..300 {
//!     let context = [1.0, f64::from(round % 2)];
//!     let decision = policy.decide(&context, Available::All, &mut rng)?;
//!     // The truth: arm 2 is good when the second number is 1, arm 0 otherwise.
//!     let good = if round % 2 == 1 { 2 } else { 0 };
//!     let reward = if decision.arm().number() == good { 1.0 } else { 0.0 };
//!     policy.learn(&decision, reward)?;
//! }
//! assert_eq!(policy.select(&[1.0, 1.0], Available::All, &mut rng)?.arm.number(), 2);
//! # Ok::<(), dht_bandits::Error>(())
//! ```
//!
//! # Which policy when
//!
//! | you have | take | because |
//! |---|---|---|
//! | a few lasting arms, rewards that are numbers | [`LinUcb`], α from .1 to 1 | strong, no randomness but in ties, propensities known |
//! | the same, and rewards that come late or in batches | [`LinTs`] | a batch of equal contexts is spread over arms |
//! | clicks: rewards 0 or 1, rare or near-certain | [`LogisticTs`] or [`LogisticUcb`] | the right noise model; needs normalised contexts |
//! | the same with many features, or little time | [`DiagonalLogisticTs`] | O(d), but blind to correlation: normalise first |
//! | many short-lived items that are known by features | [`SharedLinUcb`], [`SharedLinTs`] ([`TopK::shared`]) | what one teaches serves all |
//! | both: features that carry over, and arms with a character | [`HybridLinUcb`] | new arms start warm |
//! | K of N at once, with feedback on those that were seen | [`TopKThompson`] | semi-bandit feedback, cascades, pinned arms |
//! | a log to be evaluated on afterwards | [`EpsilonGreedy`], or [`propensities`](Disjoint::propensities) of the others | every arm keeps a known chance |
//! | a world that moves | [`RidgeOptions::discount`], [`Disjoint::discount`], [`Disjoint::forget`] | old evidence fades, the prior stays |
//! | a doubt whether any of it helps | [`Uniform`], [`Fixed`] | a learner that does not beat them has learned nothing |
//!
//! None of these where the context's effect is far from linear: make features first. And none where a choice changes later
//! contexts; that is reinforcement learning.
//!
//! # The pieces
//!
//! A [`Disjoint`] policy is a [`Posterior`] (what is believed of each arm's weights) and an [`Index`] (how mean and width
//! become one number): [`LinUcb`] is `Disjoint<Ridge, Ucb>`, and every other pair works too.
//!
//! | posterior | select, an arm | update | source |
//! |---|---|---|---|
//! | [`Ridge`] | O(d²) | O(d²) | θ = A⁻¹b, A = λI + Σwxx', Li et al. (2010); factored after Bierman (1977) |
//! | [`FullLaplace`] | O(d²) | O(d²) | mode and curvature of a logistic regression |
//! | [`DiagonalLaplace`] | O(d) | O(d) | Chapelle & Li (2011), Algorithm 3 |
//!
//! | index | value | source |
//! |---|---|---|
//! | [`Ucb`] | mean + α·width | Li et al. (2010), Algorithm 1 |
//! | [`Thompson`] | mean + α·width·z, z ~ N(0, 1) | Agrawal & Goyal (2013) |
//! | [`Epsilon`] | mean; with probability ε, any arm | |
//!
//! [`TopK`] takes the same two for slates, [`Hybrid`] an index. All of them, boxed or not, are a [`Policy`] where they
//! choose single arms.
//!
//! Around them: [`Normalizer`] and [`PyramidPool`] make contexts, and [`columns`] appends to them; [`Publisher`] and
//! [`Reader`] let many threads choose while one learns; [`Delta`] carries what was learned to another machine;
//! [`OffPolicy`] and [`replay`] judge a policy by another's log; [`World`], [`simulate()`] and [`compare`] try it out.
//!
//! # What holds everywhere
//!
//! * **Nothing is half done.** A refused call names what was wrong and leaves every bit as it was.
//! * **The caller owns the randomness.** The same state, context and generator give the same choice. Sums are taken in an
//!   order that does not depend on the width of the machine's vectors, so that this holds between CPUs with fused
//!   multiply-add, too.
//! * **Choosing is `&self`**, learning `&mut self`; policies are `Send + Sync`.
//! * **Decisions in flight survive a restore**: a policy learns from the decisions of its epoch, also from those that were made
//!   after the save it was restored from ([`Decision`]).
//! * **A removed arm stays removed**, saved, loaded and merged ([`ArmId`]).
//! * **States are checked when loaded** and independent of the memory layout. Use a format that keeps every bit of an
//!   `f64` (for serde_json: its feature `float_roundtrip`).
//! * **No allocation** in `select`, `update` and `learn`; what returns something that owns its numbers has a variant that
//!   uses the caller's memory again ([`TopK::select_into`], [`Disjoint::select_batch`]).
#![forbid(unsafe_code)]

mod arm;
mod arm_ranges;
mod arm_set;
mod clock;
mod error;
mod exploration;
mod features;
mod gaussian;
mod off_policy;
mod policy;
mod posterior;
mod saved_state;
mod simulation;
mod slots;
mod snapshot;
mod validate;

pub use arm::{ArmId, Available};
pub use arm_set::{ArmSet, ArmSetState};
pub use error::{Error, Result};
pub use exploration::{Epsilon, Index, Thompson, Ucb};
pub use features::{Normalizer, NormalizerOptions, NormalizerState, PyramidPool, columns};
pub use gaussian::{InformationState, Natural, Score};
pub use off_policy::{Estimate, LoggedRound, OffPolicy, ReplayRound, SlateOffPolicy, replay};
pub use policy::{
    ArmFeedback, BaselineState, Batch, Candidates, Choice, Decision, Delta, Disjoint, DisjointState, Draw, Feedback,
    Fixed, Hybrid, HybridOptions, HybridState, Observation, Policy, Propensity, Sharing, Slate, TopK, TopKState,
    Uniform,
};
pub use posterior::{
    DiagonalArmState, DiagonalLaplace, DiagonalLaplaceOptions, FullArmState, FullLaplace, FullLaplaceOptions,
    Posterior, Ridge, RidgeArmState, RidgeOptions, TsPrior, sigmoid,
};
pub use saved_state::Header;
pub use simulation::{
    CascadeWorld, ClickWorld, Comparison, Contender, Curve, SlateWorld, Standing, WeightedWorld, World, compare,
    simulate, simulate_slates,
};
pub use snapshot::{Publisher, Reader};

/// LinUCB with disjoint arms (Li et al. 2010, Algorithm 1).
pub type LinUcb = Disjoint<Ridge, Ucb>;
/// Linear Thompson sampling with disjoint arms (Agrawal & Goyal 2013).
pub type LinTs = Disjoint<Ridge, Thompson>;
/// LinUCB with hybrid arms (Li et al. 2010, Algorithm 2).
pub type HybridLinUcb = Hybrid<Ucb>;
/// LinUCB with one vector of weights for all candidates, told apart by their features ([`TopK::shared`]; slates of one are single choices).
pub type SharedLinUcb = TopK<Ridge, Ucb>;
/// Linear Thompson sampling with one vector of weights for all candidates, drawn once a slate.
pub type SharedLinTs = TopK<Ridge, Thompson>;
/// Contextual ε-greedy: ridge regressions, explored uniformly.
pub type EpsilonGreedy = Disjoint<Ridge, Epsilon>;
/// Logistic Thompson sampling with diagonal posteriors (Chapelle & Li 2011, Algorithm 3).
pub type DiagonalLogisticTs = Disjoint<DiagonalLaplace, Thompson>;
/// Logistic Thompson sampling with full Laplace posteriors.
pub type LogisticTs = Disjoint<FullLaplace, Thompson>;
/// Logistic upper confidence bounds with full Laplace posteriors, on log-odds.
pub type LogisticUcb = Disjoint<FullLaplace, Ucb>;
/// The top-K semi-bandit by Thompson sampling over logistic regressions with diagonal posteriors.
pub type TopKThompson = TopK<DiagonalLaplace, Thompson>;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeSnippets;
