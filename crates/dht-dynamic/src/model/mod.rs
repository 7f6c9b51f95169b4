//! Dynamic model, whose router decides at which exit each text leaves.
//!
//! `predict` runs a batch; the loop over the layers is in `passage`.

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
