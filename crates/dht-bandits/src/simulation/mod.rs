//! Environments with a known optimum, and runs of policies in them.

mod environment;
mod run;
mod slate_environment;

pub use environment::{WeightedWorld, World};
pub use run::{Comparison, Contender, Curve, Standing, compare, simulate, simulate_slates};
pub use slate_environment::{CascadeWorld, ClickWorld, SlateWorld};
