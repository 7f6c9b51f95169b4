//! Simulation of bandit policies: environments with known expected rewards, and the regret of policies in them.
//!
//! [`Curve::run`] runs one policy in an [`Environment`]. [`Comparison::run`] runs several policies with the same seeds,
//! in the same contexts.

mod environment;
mod run;

pub use environment::{Environment, GlmEnvironment};
pub use run::{Comparison, Curve};
