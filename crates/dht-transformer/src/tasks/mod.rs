//! Models with an objective: classifiers, and guessing masked tokens; and objectives that train a classifier by more than its
//! labels.

mod distillation;
mod fine_tuning;
mod intermediate_distillation;
mod masked_language_model;
mod task;
mod text_classifier;

pub use distillation::{Distillation, DistillationSettings};
pub use fine_tuning::FineTuning;
pub use intermediate_distillation::{IntermediateDistillation, LayerMap, attention_distance, state_distance};
pub use masked_language_model::MaskedLanguageModel;
pub use task::Task;
pub use text_classifier::TextClassifier;
