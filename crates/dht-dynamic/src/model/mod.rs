//! Dynamic model: an encoder with early exits, and a router that decides at which exit each text stops.
//!
//! `predict.rs` predicts batches of texts. The loop over the layers is in the module `passage`.

mod dynamic;
mod own_parts;
mod predict;
mod saved;
mod saved_parts;
mod seen_texts;

pub use dynamic::DynamicModel;
pub use own_parts::OwnParts;
pub use saved_parts::SavedParts;
pub use seen_texts::SeenTexts;
