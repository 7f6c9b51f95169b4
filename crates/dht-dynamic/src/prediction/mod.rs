//! Predictions, and whatever makes them.

mod prediction;
mod predictor;

pub use prediction::{BatchPredictions, Prediction};
pub(crate) use prediction::{Found, lengths_of, pack};
pub use predictor::{Predictor, WithSpeed, in_pool};
