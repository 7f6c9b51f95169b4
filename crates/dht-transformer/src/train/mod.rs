//! Training: losses, the optimiser, the learning rate over time, scores, and what is kept on disk.

mod bootstrap;
mod checkpoint;
mod clip;
mod correlation;
mod fused;
mod groups;
mod label_counts;
mod losses;
mod masked_language_model;
mod metrics;
mod objective;
mod optimizer;
mod schedule;
mod session;
mod task;
mod text_classifier;
mod trainer;

pub use bootstrap::{Deficit, paired_bootstrap};
pub use checkpoint::{Checkpoint, Difference, StoredTensor, StoredTensors};
pub use clip::clip_by_global_norm;
pub use correlation::{pearson, spearman};
pub use groups::{Multipliers, ParameterGroups};
pub use label_counts::LabelCounts;
pub use losses::{binary_cross_entropy, cross_entropy, log_softmax, soft_cross_entropy, squared_error};
pub use masked_language_model::MaskedLanguageModel;
pub use metrics::Confusion;
pub use objective::{Objective, Predict, Progress, StepLoss};
pub use optimizer::{AdamW, AdamWCounters, AdamWSettings, AdamWState, StepReport};
pub use schedule::{Schedule, WarmUp};
pub use task::Task;
pub use text_classifier::TextClassifier;
pub use trainer::{
    CheckpointSettings, EpochRecord, Event, History, Observer, Predictions, TrainSettings, Trainer, macro_f1,
    predict_all, score,
};
