//! What a training begins with and keeps: the encoder, the learning rate, and a directory to go on from.

mod directory;
mod learning_rate;
mod model_choice;

pub use directory::TrainingDir;
pub use learning_rate::{LearningRate, find_learning_rate};
pub use model_choice::{ModelChoice, Start, saved_directory};
