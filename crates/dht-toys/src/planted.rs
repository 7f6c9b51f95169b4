//! A task whose answer is planted: of the tokens of a text one is 1, 2 or 3, which is its class.

use std::ops::Range;
use std::sync::OnceLock;

use dht_transformer::{BertConfig, EncodedDataset, Encoder, Pooling, TextClassifier, Trainer};
use rand::RngExt;

use crate::data::{data, rng, sample};
use crate::models::{self, config};
use crate::training::train_settings;

/// The number of classes.
pub const CLASSES: usize = 3;
/// The layers of [`full_model`].
pub const LAYERS: usize = 4;
/// The heads of each of its layers.
pub const HEADS: usize = 2;
/// The tokens of [`task`].
const VOCABULARY: u32 = 20;

/// Texts of token 0 and then `lengths` others, which are below `vocabulary`.
pub fn texts(rows: u64, seed: u64, lengths: Range<usize>, vocabulary: u32) -> EncodedDataset {
    let mut rng = rng(seed);
    let text = |id| {
        let label = rng.random_range(0..CLASSES as u32);
        let mut ids: Vec<u32> =
            (0..rng.random_range(lengths.clone())).map(|_| rng.random_range(4..vocabulary)).collect();
        let index = rng.random_range(0..ids.len());
        ids[index] = 1 + label;
        ids.insert(0, 0);
        sample(id, label, ids)
    };
    data(0..CLASSES, (0..rows).map(text))
}

/// Texts of two to seven tokens.
pub fn task(rows: u64, seed: u64) -> EncodedDataset {
    texts(rows, seed, 1..7, VOCABULARY)
}

/// No texts of the same classes.
pub fn nothing() -> EncodedDataset {
    task(0, 0)
}

/// An encoder for the task, with dropout, so that a step depends on its seed.
pub fn encoder(layers: usize, seed: u64) -> Encoder {
    let config = config([layers, HEADS, 16, VOCABULARY as usize], 0.2);
    models::encoder(&BertConfig { max_position_embeddings: 10, ..config }, &mut rng(seed))
}

/// A classifier of [`LAYERS`] layers that has learned the task for one epoch, so that some texts are hard for it.
pub fn full_model(pooling: Pooling) -> &'static TextClassifier {
    static MODELS: [OnceLock<TextClassifier>; 3] = [const { OnceLock::new() }; 3];
    let index = [Pooling::Cls, Pooling::Mean, Pooling::Pooler].iter().position(|own| *own == pooling);
    MODELS[index.expect("a pooling")].get_or_init(|| {
        let mut model = TextClassifier::new(encoder(LAYERS, 1), CLASSES, pooling, &mut rng(2)).expect("a classifier");
        Trainer::new(train_settings(1)).fit(&mut model, &task(300, 1), &nothing(), &mut ()).expect("a training");
        model
    })
}
