//! Off-policy evaluation: what a policy would have earned, estimated from the log of another.
//!
//! * [`evaluate()`] judges several policies from a log of [`LoggedDecision`](crate::log::LoggedDecision)s and returns one
//!   table of all that follows.
//! * [`OffPolicy`] has the [`Estimator`]s over [`LoggedRound`]s, SLOPE to choose their parameters, and bootstrap
//!   intervals; [`RunningEstimates`] those that need one pass in constant memory.
//! * [`CrossFit`] makes rounds with the predictions of an [`OutcomeModel`] that never saw them, fitted to the squared
//!   error or to the variance of the doubly robust estimate (MRDR).
//! * [`ConfidenceSequence`]: intervals that hold at all times at once, for any weights.
//! * [`SlateOffPolicy`] and [`PseudoInverse`] do so for slates; [`slate_rounds`] makes what the first takes of a log of
//!   [`LoggedSlate`](crate::log::LoggedSlate)s and a policy.
//! * [`replay()`] runs a policy that learns through a log, and returns its counterfactual learning curve.
//!
//! # Which interval
//!
//! Normal and bootstrap intervals hold where many rounds carry the weight. Where a few carry most of it (see
//! [`Estimate::effective_samples`]) both are too short, on average around a value that is too low, since the rare rounds
//! of large weight are mostly missing: then use a [`ConfidenceSequence`], which is longer and holds for any weights. The
//! page `docs/estimators.md` of this crate has bias, variance and coverage of each against a known truth.
//!
//! [`Estimate`] has, beside its interval, what it rests on: effective sample size, largest and mean weight, and the share
//! of choices that the log does not support.

mod bootstrap;
mod confidence_sequence;
mod estimate;
mod estimator;
mod evaluate;
mod known_arms;
mod off_policy;
mod outcome_model;
#[cfg(feature = "nalgebra")]
mod pseudo_inverse;
mod replay;
mod running;
mod slates;
mod slope;

pub use bootstrap::Interval;
pub use confidence_sequence::ConfidenceSequence;
pub use estimate::{Estimate, LoggedRound, Prediction};
pub use estimator::Estimator;
pub use evaluate::{Evaluation, EvaluationRow, EvaluationSettings, Target, evaluate};
pub use off_policy::OffPolicy;
pub use outcome_model::{CrossFit, OutcomeModel, rounds};
#[cfg(feature = "nalgebra")]
pub use pseudo_inverse::PseudoInverse;
pub use replay::{Replay, replay};
pub use running::RunningEstimates;
pub use slates::{SlateOffPolicy, pseudo_inverse_estimate, slate_rounds};
