//! Evaluation of routes, in addition to [`evaluate`](dht_dynamic::evaluate()).

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
