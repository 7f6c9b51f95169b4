//! Runs texts through layers, exits and routers, in training and in inference.
//!
//! [`Walk::predict`] returns the predictions for a batch. [`Walk::run`] returns its [`Trace`] (decisions, logits and
//! costs), on which a learning router is trained.

#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod passage;
mod predict;
mod trace;
mod walk;

pub(crate) use passage::{FrontOutcome, Passage};
pub use trace::{Deciding, ExitOutput, GroupTrace, Trace};
pub use walk::{PassedExits, Walk};
