//! Training: the task-independent loop, the optimiser, learning-rate schedules, metrics, and checkpoints.

pub mod checkpoint;
pub mod metrics;
pub mod optim;

mod history;
mod objective;
mod observer;
mod save_schedule;
mod session;
mod session_state;
mod settings;
mod trainer;
mod with_metric;

pub use history::{EpochRecord, History, StepRecord};
pub use objective::{Objective, Predict, Progress, StepLoss};
pub use observer::{EpochLines, Event, Observer};
pub use settings::{CheckpointSettings, TrainSettings};
pub use trainer::Trainer;
pub use with_metric::WithMetric;
