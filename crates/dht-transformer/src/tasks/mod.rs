//! Models that can be trained: classifiers, masked language models, and distillation, in which a classifier (student)
//! learns from a larger one (teacher).

mod augmentation;
mod distillation;
mod fine_tuning;
mod intermediate;
pub(crate) mod masked_language_model;
mod student;
pub(crate) mod task;
mod teacher_logits;
pub(crate) mod text_classifier;
mod training_loss;

pub use augmentation::{Augmentation, AugmentationSettings};
pub use distillation::{Distillation, DistillationSettings};
pub use fine_tuning::FineTuning;
pub use intermediate::{IntermediateDistillation, IntermediateLoss, LayerMap, TeacherStates};
pub(crate) use task::Task;
pub use teacher_logits::TeacherLogits;
pub(crate) use text_classifier::TextClassifier;
