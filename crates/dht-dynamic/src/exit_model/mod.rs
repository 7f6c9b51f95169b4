//! Encoder with early exits: its layout, its FLOPs, and the predictions of all its exits.

#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod exit_model;
mod exit_probabilities;
mod flops;
mod of_classifier;

pub use exit_model::{ExitModel, ExitSettings};
