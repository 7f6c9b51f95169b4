//! Contextual bandits: policies that choose an arm (action) now and learn from its reward later.
//!
//! A policy observes a context, chooses one of its arms, and learns the reward of that choice some time later. It has
//! to find the best arm for each context, and lose little reward while it explores.
//!
//! ```text
//! raw values ──▶ Normalizer, PyramidPool ──▶ context
//!                                               │
//!              available arms ──▶ Request ──▶ decide ──▶ Decision
//!                                               ▲           │ kept until the
//!         posterior × exploration rule × arms ──┘           │ reward arrives
//!                           ▲                               │
//!                           └──────────── learn ◀───────────┘
//! ```
//!
//! # A complete program
//!
//! ```
//! use dht_bandits::policy::{AnyPolicy, RewardType};
//! use dht_bandits::{Policy, Request};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! let mut rng = ChaCha8Rng::seed_from_u64(7);
//! // Contexts of length 2, three arms, rewards of 0 or 1, recommended settings.
//! let mut policy = AnyPolicy::recommended(2, 3, RewardType::Binary)?;
//! for round in 0..300 {
//!     let context = [1.0, f64::from(round % 2)];
//!     let decision = policy.decide(&Request::new(&context), &mut rng)?;
//!     // The truth: arm 2 is good where the second feature is 1, arm 0 otherwise.
//!     let good = if round % 2 == 1 { 2 } else { 0 };
//!     let reward = if decision.arm().number() == good { 1.0 } else { 0.0 };
//!     policy.learn(&decision, reward)?;
//! }
//! assert_eq!(policy.select(&Request::new(&[1.0, 1.0]), &mut rng)?.arm.number(), 2);
//! # Ok::<(), dht_bandits::Error>(())
//! ```
//!
//! # Which policy when
//!
//! | you have | take | because |
//! |---|---|---|
//! | no preference | [`AnyPolicy::recommended`](policy::AnyPolicy::recommended), `kind = "auto"` | more reward than each measured peer library on noisy clicks, and more than the best tuned peer on average over four data sets ([README](https://docs.rs/crate/dht-bandits/latest/source/README.md)); scales contexts and rewards automatically |
//! | a few lasting arms, real-valued rewards | [`LinUcb`] with the prior precision λ = d/4 on d normalised features; α = .25 without noise or with few rewards, 1 to 1.5 with noise; [`GrowingUcb`](exploration::GrowingUcb) increases α with the number of rewards | deterministic except for ties, so that propensities are known |
//! | a few lasting arms, rewards that arrive late or in batches | [`LinTs`] | equal contexts in a batch get different arms |
//! | rewards whose scale and noise are unknown | `Disjoint<`[`NormalInverseGamma`](posterior::NormalInverseGamma)`, Thompson>` | learns the variance of the noise |
//! | clicks: rewards 0 or 1, rare or near-certain | `Disjoint<`[`FullLaplace`](posterior::FullLaplace)`, `[`GrowingUcb`](exploration::GrowingUcb)`>`, λ = d/16; alternatively `Thompson`, with α from .5 to 1 for noisy rewards and ≤ .25 for others | logistic regression matches rewards of 0 and 1; needs normalised contexts |
//! | clicks with many features, or little time | `Disjoint<`[`DiagonalLaplace`](posterior::DiagonalLaplace)`, Thompson>` | O(d) per update, but ignores correlations of features: normalise first |
//! | text, names or categories, thousands of features and more | [`SparsePolicy`](policy::SparsePolicy) over contexts of a [`FeatureHasher`](features::FeatureHasher), with [`DiagonalLaplace`](posterior::DiagonalLaplace) and [`SquareCb::new(100.0)`](exploration::SquareCb::new) | time and memory depend only on the features that occur; [`AdaGrad`](policy::AdaGrad) for real-valued rewards |
//! | the log of another policy, and no traffic of your own yet | [`SoftmaxPolicy`](policy::SoftmaxPolicy); [`Policy::fit`] of any other policy; [`ChampionChallenger`](evaluation::ChampionChallenger) for the first requests in service | `SoftmaxPolicy` ascends the value that is estimated with the log's propensities |
//! | many short-lived items, described by features | [`TopK::shared`](policy::TopK::shared) over [`Ridge`] with [`Ucb`] or [`Thompson`] | a reward of one item improves the estimates of all items |
//! | short-lived items, and a context | [`TopK::shared`](policy::TopK::shared) with [`Interactions`](features::Interactions) | without products of context and features, the context has no effect on the order of arms |
//! | shared features, and arms with separate weights | [`Hybrid`](policy::Hybrid) with [`Ucb`] | new arms start with the shared weights |
//! | K of N arms at once, with feedback on the observed ones | [`TopK`](policy::TopK) over [`DiagonalLaplace`](posterior::DiagonalLaplace) with [`Thompson`] | semi-bandit feedback, cascades, pinned arms |
//! | a log that will be evaluated off-policy ([`log`], with the feature `log`) | [`SquareCb::new(100.0)`](exploration::SquareCb::new), which is γ_t = 100·√(1 + t) after t rewards, over a logistic or linear model; [`EpsilonGreedy`](exploration::EpsilonGreedy), [`Softmax`](exploration::Softmax) | every arm has a positive probability, and `decide` returns the exact propensity. [`Floor`](exploration::Floor) achieves the same for any rule |
//! | no contexts | [`ContextFree`](policy::ContextFree): UCB1, Beta-Thompson sampling | O(1) per arm |
//! | a custom reward model: a tree, a network | [`OraclePolicy`](policy::OraclePolicy) with [`SquareCb`](exploration::SquareCb) | explores around any [`Oracle`](policy::Oracle) |
//! | a policy that a settings file names | [`AnyPolicy`](policy::AnyPolicy) | one file holds the settings and the learned state |
//! | an environment that drifts, any policy | [`AnyPolicy`](policy::AnyPolicy) with `decay`, `window` or `reset` in its settings, also `auto` | recovers after preferences change. Without forgetting, an arm that became better is tried again late or never |
//! | an environment that drifts continuously | [`DiscountedRidge`](posterior::DiscountedRidge) instead of [`Ridge`], or [`SlidingWindow`](policy::SlidingWindow) | old evidence decays in all arms, and the prior does not |
//! | an environment with rare, abrupt changes | [`ResetOnChange`](policy::ResetOnChange) | nothing is forgotten without a detected change |
//! | doubts whether a bandit helps | [`Uniform`](policy::Uniform), [`Fixed`](policy::Fixed) | baselines: a learner that does not beat them has learned nothing |
//!
//! Sparse contexts are accepted by [`SparsePolicy`](policy::SparsePolicy), a sparse
//! [`SoftmaxPolicy`](policy::SoftmaxPolicy), and policies that ignore the context. All other policies return an error;
//! see [`Policy::takes_sparse_contexts`].
//!
//! Linear and logistic models need features in which the reward is nearly linear. No policy of this crate fits a
//! problem in which a choice changes later contexts. Such problems need reinforcement learning.
//!
//! # Catalogue
//!
//! | module | holds |
//! |---|---|
//! | [`policy`] | the [`Policy`] trait and its [`Request`]; all policies, such as [`Disjoint`](policy::Disjoint), [`Hybrid`](policy::Hybrid) and [`TopK`](policy::TopK); baselines; slates; merging; propensities; sliding windows and change tests for drift; snapshots for threads |
//! | [`posterior`] | posterior distributions of the weights of each arm: ridge regression, also with learned noise; logistic regression by full and diagonal Laplace approximations; priors and forgetting |
//! | [`exploration`] | rules that choose an arm from posterior means and widths (standard deviations): [`Ucb`], [`Thompson`], ε-greedy, explore-first, softmax, SquareCB |
//! | [`features`] | contexts from raw values: [`Normalizer`], [`Interactions`](features::Interactions), [`PyramidPool`](features::PyramidPool); sparse contexts from names: [`FeatureHasher`](features::FeatureHasher) |
//! | [`log`] | logged decisions and slates with propensities and rewards; logs of Vowpal Wabbit and Personalizer |
//! | [`evaluation`] | off-policy evaluation: estimates of a policy's value from another policy's log; intervals, tables, replay |
//! | [`simulation`] | environments with a known optimum, regret curves, comparisons of policies |
//!
//! A [`Disjoint`](policy::Disjoint) policy combines any [`Posterior`](posterior::Posterior) with any
//! [`Exploration`](exploration::Exploration): [`LinUcb`] is `Disjoint<Ridge, Ucb>`. [`TopK`](policy::TopK) also
//! combines both, and [`Hybrid`](policy::Hybrid) takes an exploration rule.
//!
//! # Adding it
//!
//! ```toml
//! [dependencies]
//! dht-bandits = "0.1"
//! rand = "0.10"
//! rand_chacha = { version = "0.10", features = ["serde"] }
//! serde_json = { version = "1", features = ["float_roundtrip"] } # to save policies and decisions
//! ```
//!
//! Any `Rng` of rand 0.10, which this crate re-exports as [`rand`], can be used as generator. The generators of
//! rand_chacha can be seeded and saved.
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `nalgebra` | on | requests from nalgebra's vectors; the pseudo-inverse estimator of slates |
//! | `log` | off | decision logs as JSON lines; rows as CSV, JSON lines, Vowpal Wabbit's text and dsjson: [`log`]; binary states |
//! | `settings` | off | settings from TOML and JSON, policies as JSON files: `PolicySettings::from_toml`, `AnyPolicy::save`; binary states |
//!
//! # Guarantees
//!
//! * **Calls are atomic.** A refused call reports what was wrong and leaves the object unchanged, bit for bit.
//! * **The caller owns the randomness.** The same state, context and generator give the same choice. The order of sums
//!   does not depend on the width of the machine's vectors, so that choices also agree between CPUs with fused
//!   multiply-add.
//! * **Choosing takes `&self`**, learning `&mut self`; policies are `Send + Sync`.
//! * **Decisions in flight survive a restore**: a policy that is restored from a save also learns from decisions that
//!   were made after the save ([`Decision`]).
//! * **A removed arm stays removed** when the policy is saved, loaded and merged ([`ArmId`]).
//! * **States are checked when loaded** and independent of the memory layout. Use a format that preserves every bit of
//!   an `f64` (for serde_json: its feature `float_roundtrip`).
//! * **The common policies do not allocate.** A test counts allocations; the next section lists the policies.
//!
//! # Allocation
//!
//! `select`, `update` and `learn` of the following policies do not allocate, if a request lists at most 1,024 arms:
//!
//! * [`Disjoint`](policy::Disjoint) with any posterior except [`DiscountedRidge`](posterior::DiscountedRidge);
//! * [`Hybrid`](policy::Hybrid) with up to 128 features;
//! * [`ContextFree`](policy::ContextFree), [`Uniform`](policy::Uniform) and [`Fixed`](policy::Fixed).
//!
//! The following methods allocate only in the first call of a given size:
//! [`TopK::select_slate_into`](policy::TopK::select_slate_into), `TopK::learn_slate`, `TopK::update_batch`,
//! [`Disjoint::select_batch`](policy::Disjoint::select_batch) and `Disjoint::learn_batch`.
//!
//! Other policies allocate. [`Normalised`](policy::Normalised), and therefore a policy with recommended settings,
//! allocates the scaled context of each call. A [`SlidingWindow`](policy::SlidingWindow) allocates its rewards, and an
//! [`OraclePolicy`](policy::OraclePolicy) a copy of the oracle. A single choice of a `TopK` allocates a slate. A
//! [`SparsePolicy`](policy::SparsePolicy) allocates the scores of a call.
#![doc(html_root_url = "https://docs.rs/dht-bandits/latest")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod arm;
mod arm_set;
mod clock;
mod decision;
mod error;
pub mod evaluation;
pub mod exploration;
pub mod features;
#[cfg(any(feature = "log", feature = "settings"))]
mod files;
mod gaussian;
pub mod log;
mod options;
pub mod policy;
pub mod posterior;
mod saved_state;
pub mod simulation;
mod validate;

pub use arm::ArmId;
pub use decision::{Choice, Decision, Request};
pub use error::{Error, Result};
pub use exploration::{thompson::Thompson, ucb::Ucb};
pub use features::normalizer::Normalizer;
pub use policy::{
    disjoint::{LinTs, LinUcb},
    interface::{Observation, Policy},
};
pub use posterior::ridge::Ridge;
pub use rand;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeSnippets;
