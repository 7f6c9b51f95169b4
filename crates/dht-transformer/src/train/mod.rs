//! Training: the one loop, the optimiser, the learning rate over time, scores, and checkpoints. It knows no task.

mod checkpoint;
mod metrics;
mod objective;
mod optim;
mod session;
mod trainer;

pub use checkpoint::Checkpoint;
pub use metrics::{Confusion, LabelCounts, PairedDifference, paired_bootstrap, pearson, spearman};
pub use objective::{Objective, Predict, Progress, StepLoss};
pub use optim::{
    AdamW, AdamWCounters, AdamWSettings, AdamWState, Multipliers, ParameterGroups, Schedule, StepReport, WarmUp,
    clip_by_global_norm,
};
pub use trainer::{
    CheckpointSettings, EpochRecord, Event, History, Observer, Predictions, TrainSettings, Trainer, macro_f1,
    predict_all, score,
};
