//! Planted task, whose correct answers are known: each text contains exactly one of the tokens 1, 2 and 3, and this
//! token determines the class.

use std::ops::Range;
use std::sync::OnceLock;

use dht_transformer::{BertConfig, EncodedDataset, Encoder, Pooling, TextClassifier, Trainer};
use rand::RngExt;

use crate::data::{data, rng, sample};
use crate::models::{self, config};
use crate::training::train_settings;

/// Number of classes.
pub const CLASSES: usize = 3;
/// Number of layers of [`full_model`].
pub const LAYERS: usize = 4;
/// Number of heads in each layer of [`full_model`].
pub const HEADS: usize = 2;
/// Number of distinct tokens in the texts of [`task`].
const VOCABULARY: u32 = 20;

/// Texts of the planted task. A text has token 0 followed by a random number of tokens, drawn from `lengths`; all
/// tokens are below `vocabulary`.
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

/// Texts of the planted task with two to seven tokens.
pub fn task(rows: u64, seed: u64) -> EncodedDataset {
    texts(rows, seed, 1..7, VOCABULARY)
}

/// Empty data set with the classes of the planted task.
pub fn nothing() -> EncodedDataset {
    task(0, 0)
}

/// Encoder for the planted task. The encoder has dropout, so that a training step depends on the step's seed.
pub fn encoder(layers: usize, seed: u64) -> Encoder {
    let config = config([layers, HEADS, 16, VOCABULARY as usize], 0.2);
    models::encoder(&BertConfig { max_position_embeddings: 10, ..config }, &mut rng(seed))
}

/// Full model: a classifier of [`LAYERS`] layers, trained on the planted task for one epoch only, so that some texts
/// remain hard for it.
pub fn full_model(pooling: Pooling) -> &'static TextClassifier {
    static MODELS: [OnceLock<TextClassifier>; 3] = [const { OnceLock::new() }; 3];
    let index = [Pooling::Cls, Pooling::Mean, Pooling::Pooler].iter().position(|own| *own == pooling);
    MODELS[index.expect("a pooling")].get_or_init(|| {
        let mut model = TextClassifier::new(encoder(LAYERS, 1), CLASSES, pooling, &mut rng(2)).expect("a classifier");
        Trainer::new(train_settings(1))
            .fit(&mut model, &task(300, 1), &nothing(), &mut ())
            .expect("a completed training run");
        model
    })
}
