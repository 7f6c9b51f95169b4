//! Contextual-bandit policies, which choose one of several arms in a context and learn from its reward. Most combine a
//! posterior with an exploration rule; arms can be added and removed.
//!
//! * [`Request`](crate::Request): a context, with the arms that are available.
//! * [`Policy`]: the trait. A policy returns a [`Choice`](crate::Choice) or a [`Decision`](crate::Decision) now, and
//!   learns its reward later, alone or in a batch of [`Observation`]s. [`Explanation`]: the contribution of each
//!   feature to the score of a choice. [`Slate`] and [`Feedback`]: several items chosen at once.
//! * [`Disjoint`]: separate weights for each arm. [`Hybrid`]: additional weights that all arms share. [`TopK`]: slates
//!   of K arms.
//! * [`LinUcb`](crate::LinUcb), [`LinTs`](crate::LinTs): pairs of a posterior and a rule that have names in the
//!   literature.
//! * [`SparsePolicy`]: sparse or hashed contexts, with [`DiagonalLaplace`](crate::posterior::DiagonalLaplace) or
//!   [`AdaGrad`] as the model. [`SoftmaxPolicy`]: a policy that learns from another policy's log by policy gradients.
//! * [`ContextFree`]: UCB1 and Beta-Thompson sampling, which ignore contexts.
//! * [`SlidingWindow`] and [`ResetOnChange`]: policies for non-stationary environments, in addition to
//!   [forgetting](crate::posterior::DiscountedRidge).
//! * [`AnyPolicy`]: a policy defined by settings. [`Normalised`]: a policy that scales its contexts. [`OraclePolicy`]:
//!   a policy around the user's own reward model.
//! * [`Publisher`] and [`SnapshotReader`]: one thread learns while many threads choose.
//! * `Checkpoint`, with the cargo feature `log`: a policy and its position in a log, in one file.
//! * `save_binary` and `load_binary`, with the cargo feature `log` or `settings`: any state as a binary file with a
//!   checksum.
//! * [`Uniform`] and [`Fixed`]: baselines that do not learn.
//! * [`Delta`]: evidence that one worker learned, for merging into another. [`Propensity`]: the probability of a
//!   choice.

mod any;
mod baselines;
#[cfg(any(feature = "log", feature = "settings"))]
mod binary;
#[cfg(feature = "log")]
mod checkpoint;
mod choose;
mod context_free;
mod delta;
pub(crate) mod disjoint;
mod drift;
mod explanation;
pub(crate) mod forward;
mod hybrid;
pub(crate) mod interface;
mod normalised;
mod oracle;
mod propensity;
mod snapshot;
mod sparse;
mod top_k;

pub(crate) use crate::arm::ArmId;
pub use crate::arm_set::ArmSet;
pub use crate::decision::{ArmFeedback, Feedback, Propensity, Slate};
#[doc(hidden)]
pub use crate::saved_state::StateHeader;
pub use any::{AnyPolicy, AnyRule, NormaliserSettings, PolicyKind, PolicySettings, RewardType};
pub use baselines::{Fixed, Uniform};
#[cfg(any(feature = "log", feature = "settings"))]
pub use binary::{load_binary, save_binary};
#[cfg(feature = "log")]
pub use checkpoint::{CatchUp, Checkpoint};
pub use context_free::{BetaThompson, ContextFree, Ucb1};
pub use delta::Delta;
pub use disjoint::{ChoiceBatch, Disjoint};
pub use drift::{ChangeTest, ResetOnChange, SlidingWindow};
pub use explanation::{Explanation, Term};
pub use hybrid::Hybrid;
pub(crate) use interface::{Observation, Policy};
pub use normalised::Normalised;
pub use oracle::{Oracle, OraclePolicy};
pub use snapshot::{Publisher, SnapshotReader};
pub use sparse::{AdaGrad, SoftmaxPolicy, SparseModel, SparsePolicy};
pub use top_k::{SharedPropensity, TopK};
