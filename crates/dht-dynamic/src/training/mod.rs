//! Training of early exits on a frozen encoder.

mod frozen_exits;
mod state_cache;

pub use frozen_exits::{ExitTargets, FrozenExits};
pub(crate) use state_cache::{FrozenStates, states_at_exits};
