//! Linear classifiers on the n-grams and input embeddings of a text. They run no layers and cost almost nothing.

mod class_scores;
mod classifier;
mod cross_validation;
mod embedding_head;
mod embedding_table;
mod features;
mod predictor;
mod settings;

pub use classifier::{NgramClassifier, NgramFit};
pub(crate) use embedding_table::WORD_EMBEDDINGS;
pub use settings::NgramSettings;

#[cfg(test)]
mod tests;
