//! Off-policy evaluation: the value of a policy, estimated from the log of another.
//!
//! * [`Evaluation::run`] evaluates several policies from a log of [`LoggedDecision`](crate::log::LoggedDecision)s and
//!   returns one table with all estimators below.
//! * [`OffPolicy`] has the [`Estimator`]s over [`LoggedRound`]s, SLOPE to select their parameters, and bootstrap
//!   intervals; [`RunningEstimates`] has those that need one pass in constant memory.
//! * [`OutcomeModel::cross_fit`] adds predictions of a model fitted on other rounds, by squared error or by the variance
//!   of the doubly robust estimate (MRDR).
//! * [`ConfidenceSequence`]: intervals that hold at all times simultaneously, for any weights.
//! * [`OffPolicy::from_slates`] and [`PseudoInverse`] estimate the value of slates; [`LoggedRound::from_slates`] creates the
//!   input of the first from a log of [`LoggedSlate`](crate::log::LoggedSlate)s and a policy.
//! * [`Replay::run`] runs a learning policy through a log, and returns its counterfactual learning curve.
//!
//! # Choice of interval
//!
//! Normal and bootstrap intervals hold where many rounds carry the weight. Where a few carry most of it (see
//! [`Estimate::effective_samples`]), both are too short, and on average centred too low, since the rare rounds of large
//! weight are mostly missing. Then use a [`ConfidenceSequence`], which is longer and holds for any weights. The page
//! [docs/estimators.md](https://docs.rs/crate/dht-bandits/latest/source/docs/estimators.md) lists bias, variance and
//! coverage of each against a known truth.
//!
//! [`Estimate`] also has its support: effective sample size, largest and mean weight, and the fraction of choices that
//! the log does not support.

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

pub use confidence_sequence::ConfidenceSequence;
pub use estimate::{Estimate, LoggedRound, Prediction};
pub use estimator::Estimator;
pub use evaluate::{Evaluation, EvaluationRow, EvaluationSettings, Target};
pub use off_policy::OffPolicy;
pub use outcome_model::OutcomeModel;
#[cfg(feature = "nalgebra")]
pub use pseudo_inverse::PseudoInverse;
pub use replay::Replay;
pub use running::RunningEstimates;
