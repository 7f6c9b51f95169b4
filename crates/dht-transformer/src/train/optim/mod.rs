//! AdamW optimiser, parameter groups, learning-rate schedules and gradient clipping.

mod adamw;
mod clip;
mod groups;
mod schedule;
pub(crate) mod settings;
mod state;

pub use adamw::AdamW;
pub use groups::{Multipliers, ParameterGroups};
pub use schedule::{Schedule, WarmUp};
pub(crate) use settings::AdamWSettings;
pub(crate) use state::AdamWCounters;

#[cfg(test)]
mod tests;
