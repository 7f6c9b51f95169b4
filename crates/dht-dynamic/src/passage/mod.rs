//! The way of texts through the layers: the one loop that routes them, in training and in inference.
//!
//! [`Walk::predict`] is the way of a batch to its answers; [`Walk::run`] returns the [`Trace`] that a search
//! learns from.

#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod passage;
mod predict;
mod trace;
mod walk;

pub(crate) use passage::{FrontOutcome, Passage};
pub use trace::{Deciding, ExitOutput, GroupTrace, Trace};
pub use walk::{PassedExits, Walk};
