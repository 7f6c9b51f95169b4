//! The models: an encoder with exits, and the dynamic model, which decides at which exit each text leaves.
//!
//! Start with `forward`, which runs a batch through encoder, exits and router.

mod dynamic;
mod exit_model;
mod exit_probabilities;
mod forward;
mod of_classifier;
mod own_parts;
mod passage;
mod saved;
mod seen_texts;

pub use dynamic::DynamicModel;
pub use exit_model::{ExitModel, ExitSettings};
pub use own_parts::OwnParts;
pub(crate) use passage::{FrontOutcome, Passage};
pub use seen_texts::SeenTexts;
