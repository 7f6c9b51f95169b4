//! Off-policy evaluation: what a policy would have earned, estimated from the log of another.
//!
//! [`OffPolicy`] estimates from logged propensities, with or without a reward model; [`SlateOffPolicy`] does so for
//! slates; [`replay()`] runs a policy that learns through a log of uniformly drawn arms. All give an [`Estimate`] with
//! its confidence interval.

mod estimate;
mod off_policy;
mod replay;
mod slates;

pub use estimate::{Estimate, LoggedRound};
pub use off_policy::OffPolicy;
pub use replay::{ReplayRound, replay};
pub use slates::SlateOffPolicy;
