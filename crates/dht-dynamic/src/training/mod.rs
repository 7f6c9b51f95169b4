//! Exits that learn on a frozen encoder.

mod frozen_exits;
mod states;

pub use frozen_exits::{ExitTargets, FrozenExits};
pub(crate) use states::FrozenStates;
