//! More texts for a distillation: copies in which words are replaced by others.

#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod augmentation;
mod settings;
mod words;

pub use augmentation::Augmentation;
pub use settings::AugmentationSettings;
