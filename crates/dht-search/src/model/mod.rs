//! What runs: an encoder with exits, and the executor that takes a batch along its routes.

mod dynamic;
mod executor;
mod exits;
mod saved;

pub use dynamic::DynamicModel;
pub(crate) use dynamic::freeze_tail;
pub(crate) use executor::{Executor, ExitOutput, ForwardTrace, GroupTrace, PassedExits, Way};
pub(crate) use exits::ExitClassifiers;
