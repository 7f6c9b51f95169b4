//! Data augmentation for distillation: copies of texts with replaced words.

#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod augmentation;
mod settings;
mod words;

pub use augmentation::Augmentation;
pub use settings::AugmentationSettings;
