//! Simulation: environments with a known optimum, and the regret of policies in them.
//!
//! [`simulate()`] runs a policy in an [`Environment`], [`simulate_slates`] a semi-bandit in a [`SlateEnvironment`];
//! [`compare`] runs several [entries](Entry) over the same seeds.

mod environment;
mod run;
mod slate_environment;

pub use environment::{Environment, GlmEnvironment};
pub use run::{Comparison, Curve, Entry, EntryRuns, compare, simulate, simulate_slates};
pub use slate_environment::{CascadeEnvironment, ClickEnvironment, SlateEnvironment};
