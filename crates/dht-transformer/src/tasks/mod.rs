//! Models with an objective: classifiers, and guessing masked tokens.

mod masked_language_model;
mod task;
mod text_classifier;

pub use masked_language_model::MaskedLanguageModel;
pub use task::Task;
pub use text_classifier::TextClassifier;
