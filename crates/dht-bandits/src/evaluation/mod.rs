//! Off-policy evaluation: estimates the value of a policy from the log of another policy.
//!
//! * [`Evaluation::run`] evaluates several policies from a log of [`LoggedDecision`](crate::log::LoggedDecision)s and
//!   returns one table with all estimators below.
//! * [`OffPolicy`] computes the [`Estimator`]s over [`LoggedRound`]s, selects their parameters by SLOPE, and computes
//!   bootstrap intervals. [`RunningEstimates`] computes the estimators that need one pass over the log, in constant
//!   memory.
//! * [`OutcomeModel::cross_fit`] adds predictions of a model that was fitted on other rounds. The fit minimises the
//!   squared error or the variance of the doubly robust estimate (MRDR).
//! * [`ConfidenceSequence`] computes intervals that are valid at all times simultaneously, for any weights.
//! * [`OffPolicy::from_slates`] and [`PseudoInverse`] estimate the value of slates; [`LoggedRound::from_slates`]
//!   creates the input of `OffPolicy::from_slates` from a log of [`LoggedSlate`](crate::log::LoggedSlate)s and a
//!   policy.
//! * [`Replay::run`] runs a learning policy through a log, and returns its counterfactual learning curve.
//!
//! # Choice of interval
//!
//! An interval is stated only if it covers the true value at its level. This requires an estimator without bias
//! ([`Estimator::has_interval`]) and enough rounds that carry the weight ([`Estimate`]). Where a few rounds carry most
//! of the weight, use a [`ConfidenceSequence`]. It is longer, and valid for any weights and at all times. The page
//! [docs/estimators.md](https://docs.rs/crate/dht-bandits/latest/source/docs/estimators.md) lists bias, variance and
//! coverage of each estimator against a known true value.
//!
//! # Replacing the logging policy
//!
//! [`Evaluation::verdict`] compares a policy with the logging policy by the paired interval of their difference
//! ([`OffPolicy::gain`]); [`Evaluation::anytime_verdict`] does it while the log grows ([`ConfidenceSequence::gain`]).
//! [`ChampionChallenger`] runs two policies in service until a confidence sequence shows which is better.
//!
//! # What is not known
//!
//! A log without propensities is judged by the direct method, or by estimated propensities ([`PropensityModel`]). A
//! policy must not have learned from the rows that judge it ([`Target::trained_on`], [`Target::cross_fitted`]). If
//! propensities are missing or estimated, or if it is unknown from which rows a policy learned, the result has a
//! warning ([`Evaluation::warnings`]).
//!
//! [`Estimate`] also has its support: effective sample size, largest and mean weight, and the fraction of choices that
//! the log does not support.

mod bootstrap;
mod champion_challenger;
mod confidence_sequence;
mod estimate;
mod estimator;
mod evaluate;
mod known_arms;
mod level;
mod off_policy;
mod outcome_model;
mod propensity_model;
#[cfg(feature = "nalgebra")]
mod pseudo_inverse;
mod replay;
mod running;
mod slates;
mod slope;
mod target;

pub use champion_challenger::{ChampionChallenger, PairedDecision};
pub use confidence_sequence::ConfidenceSequence;
pub use estimate::{Estimate, LoggedRound, Prediction};
pub use estimator::Estimator;
pub use evaluate::{Evaluation, EvaluationRow, EvaluationSettings, EvaluationWarning, Verdict};
pub use off_policy::OffPolicy;
pub use outcome_model::OutcomeModel;
pub use propensity_model::PropensityModel;
#[cfg(feature = "nalgebra")]
pub use pseudo_inverse::PseudoInverse;
pub use replay::Replay;
pub use running::RunningEstimates;
pub use target::Target;
