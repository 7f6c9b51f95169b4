//! Simulation: environments with a known optimum, and the regret of policies in them.
//!
//! [`Curve::run`] runs a policy in an [`Environment`]; [`Comparison::run`] runs several over the
//! same seeds, in the same contexts.

mod environment;
mod run;

pub use environment::{Environment, GlmEnvironment};
pub use run::{Comparison, Curve};
