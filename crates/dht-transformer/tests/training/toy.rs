//! Planted task, and a model small enough to learn it quickly.

use dht_toys::{config, planted, rng, train_settings};
use dht_transformer::{BertConfig, EncodedDataset, Pooling, TextClassifier, TrainSettings};

pub use dht_toys::{bits, checkpointed, planted::CLASSES, without_seconds};

/// Texts of the planted task with three to eight tokens.
pub fn task(rows: u64, seed: u64) -> EncodedDataset {
    planted::texts(rows, seed, 2..8, 16)
}

/// Model with dropout, so that a step depends on its seed.
pub fn model(seed: u64) -> TextClassifier {
    let config = BertConfig { max_position_embeddings: 9, ..config([2, 2, 16, 16], 0.1) };
    dht_toys::classifier(&config, CLASSES, Pooling::Mean, &mut rng(seed))
}

pub fn settings() -> TrainSettings {
    train_settings(2)
}
