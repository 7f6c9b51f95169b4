//! Training: the task-independent training loop, the optimiser, learning-rate schedules, metrics, and checkpoints.

pub mod checkpoint;
pub mod metrics;
pub mod optim;

mod history;
pub(crate) mod objective;
mod observer;
mod save_schedule;
mod session;
mod session_state;
pub(crate) mod settings;
pub(crate) mod trainer;
mod with_metric;

pub use history::{EpochRecord, History, StepRecord};
pub use objective::Predict;
pub(crate) use objective::{Objective, Progress, StepLoss};
pub use observer::{EpochLines, Event, Observer};
pub use with_metric::WithMetric;
