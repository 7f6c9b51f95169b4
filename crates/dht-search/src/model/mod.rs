//! The models: an encoder with exits, the executor that runs a batch on its routes, and the dynamic model of a user.

mod dynamic;
mod executor;
mod exit_model;
mod exit_probabilities;
mod exits;
mod front;
mod full_model;
mod log_probabilities;
mod ngram;
mod of_classifier;
mod predict;
mod saved;
mod seen_texts;
mod stacker;

pub use dynamic::DynamicModel;
pub(crate) use executor::{Executor, PassedExits};
pub use exit_model::ExitModel;
pub use exit_probabilities::exit_log_probabilities;
pub(crate) use exits::Exits;
pub use exits::{Exit, ExitFlops};
pub use front::FrontExit;
pub use full_model::FullModel;
pub use log_probabilities::LogProbabilities;
pub(crate) use log_probabilities::best_class;
pub use ngram::{NgramClassifier, NgramFit, NgramSettings};
pub(crate) use predict::in_pool;
pub use predict::{BatchPredictions, Prediction};
pub use seen_texts::SeenTexts;
pub use stacker::Stacker;
