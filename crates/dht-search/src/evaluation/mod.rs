//! Evaluation of routes: what [`evaluate`](dht_dynamic::evaluate()) does not know about a search.

pub mod controls;
mod on_routes;
mod queued;
mod regret;

pub use crate::model::{exit_flops, exit_log_probabilities};
pub use queued::{Queued, evaluate_queued};
pub use regret::{FixedArms, Regret};

#[cfg(test)]
mod control_tests;
#[cfg(test)]
mod tests;
