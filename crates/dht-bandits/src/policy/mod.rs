//! Policies: a posterior and an exploration rule over arms that are added and removed.
//!
//! * [`Request`](crate::Request): a context, and the available arms.
//! * [`Policy`], the trait, with [`Choice`](crate::Choice), [`Decision`](crate::Decision) and [`Observation`]: a
//!   choice now, its reward later. [`Explanation`]: the parts of the features in the score of a choice.
//!   [`Slate`] and [`Feedback`]: several items at once.
//! * [`Disjoint`]: arms with separate weights. [`Hybrid`]: shared weights in addition. [`TopK`]: slates of K arms.
//! * [`LinUcb`](crate::LinUcb), [`LinTs`](crate::LinTs): pairs of a posterior and a rule under the names of the literature.
//! * [`SparsePolicy`]: arms with sparse or hashed features, by [`DiagonalLaplace`](crate::posterior::DiagonalLaplace) or
//!   [`AdaGrad`]. [`SoftmaxPolicy`]: a policy learned from another policy's log by its gradient.
//! * [`ContextFree`]: UCB1 and Beta-Thompson sampling, which ignore contexts.
//! * [`SlidingWindow`] and [`ResetOnChange`]: policies for non-stationary environments, in addition to
//!   [forgetting](crate::posterior::DiscountedRidge).
//! * [`AnyPolicy`]: a policy defined by settings. [`Normalised`]: a policy with the scaling of its contexts.
//!   [`OraclePolicy`]: a policy around a reward model of the user's.
//! * [`Publisher`] and [`SnapshotReader`]: one thread learns, many choose.
//! * With the cargo feature `log`, `Checkpoint`: a policy and its position in a log as one file.
//! * With the cargo feature `log` or `settings`, `save_binary` and `load_binary`: any saved state as a checked binary file.
//! * [`Uniform`] and [`Fixed`]: baselines that do not learn.
//! * [`Delta`]: learned evidence, to be merged elsewhere. [`Propensity`]: the probability of a choice.

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
