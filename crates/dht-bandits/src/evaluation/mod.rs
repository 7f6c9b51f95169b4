//! Off-policy evaluation: estimates the value (expected reward) of a policy from the log of another policy.
//!
//! * [`Evaluation::run`] evaluates several policies from a log of [`LoggedDecision`](crate::log::LoggedDecision)s and
//!   returns a table with the estimates of all estimators.
//! * [`OffPolicy`] computes single [`Estimator`]s from [`LoggedRound`]s, selects their parameters by SLOPE, and
//!   computes bootstrap intervals. [`RunningEstimates`] computes estimates in one pass over the log, in constant
//!   memory.
//! * [`OutcomeModel::cross_fit`] adds predictions of a reward model. Each round is predicted by a model that was fitted
//!   on other rounds. The fit minimises the squared error or the variance of the doubly robust estimate (MRDR).
//! * [`ConfidenceSequence`] computes intervals that hold simultaneously after every round, for any importance weights.
//! * [`OffPolicy::from_slates`] and [`PseudoInverse`] estimate the value of a policy that shows slates (lists of arms
//!   shown at once). [`LoggedRound::from_slates`] creates the input of `OffPolicy::from_slates` from a log of
//!   [`LoggedSlate`](crate::log::LoggedSlate)s and a policy.
//! * [`Replay::run`] lets a policy learn from a log by rejection sampling, and returns its counterfactual learning
//!   curve.
//!
//! # Choice of interval
//!
//! A confidence interval is returned only if it covers the true value at its level. This requires an estimator without
//! bias ([`Estimator::has_interval`]) and a sufficient effective sample size ([`Estimate`]). If a few rounds have most
//! of the importance weight, use a [`ConfidenceSequence`]. Its intervals are longer, and valid for any weights and
//! after every round. The page [docs/estimators.md](https://docs.rs/crate/dht-bandits/latest/source/docs/estimators.md)
//! lists measured bias, variance and coverage of each estimator.
//!
//! # Replacing the logging policy
//!
//! [`Evaluation::verdict`] compares a policy with the logging policy by a confidence interval of their difference in
//! value ([`OffPolicy::gain`]). [`Evaluation::anytime_verdict`] may be called repeatedly while the log grows
//! ([`ConfidenceSequence::gain`]). [`ChampionChallenger`] runs two policies in service until a confidence sequence
//! shows which one is better.
//!
//! # What is not known
//!
//! A log without propensities is evaluated by the direct method, or with estimated propensities ([`PropensityModel`]).
//! A policy must not have learned from the rows on which it is evaluated ([`Target::trained_on`],
//! [`Target::cross_fitted`]). The result contains a warning ([`Evaluation::warnings`]) if propensities are missing or
//! estimated, or if it is unknown from which rows a policy learned.
//!
//! [`Estimate`] also reports how well the log supports it: effective sample size, largest and mean importance weight,
//! and the fraction of choices that the log does not support.

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
