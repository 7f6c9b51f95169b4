//! Predictions for texts, and the trait of models that predict.

#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod prediction;
mod predictor;

pub use prediction::{BatchPredictions, Prediction};
pub(crate) use prediction::{PredictionRows, lengths_of, pack};
pub use predictor::Predictor;
pub(crate) use predictor::in_pool;
