//! A linear classifier on uni- and bigrams: no layers, almost no cost.

mod class_scores;
mod classifier;
mod cross_validation;
mod features;
mod predictor;
mod settings;

pub use classifier::{NgramClassifier, NgramFit};
pub use settings::NgramSettings;

#[cfg(test)]
mod tests;
