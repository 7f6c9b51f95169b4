//! Parts of a training run: initial encoder, learning rate, saved state and signals.

mod directory;
mod identity;
mod interruption;
mod learning_rate;
mod model_choice;
mod run_dir;
mod rungs;
mod targets;
#[cfg(feature = "s3")]
mod undo_on_signal;

pub use directory::TrainingDir;
pub use identity::identity;
pub use interruption::Interruption;
pub use learning_rate::{LearningRate, LearningRateTrials};
pub use model_choice::{ModelChoice, Start, classifier_of, is_saved, name_of, on_the_hub, saved_directory};
pub use run_dir::{Difference, RunDir};
pub use rungs::RungArguments;
pub use targets::TargetScale;
#[cfg(feature = "s3")]
pub use undo_on_signal::UndoOnSignal;
