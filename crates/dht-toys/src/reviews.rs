//! Generated reviews of a few words, for tests of engines and services.

use dht_transformer::{
    Dataset, EncodedDataset, Encoder, Example, Pooling, TextClassifier, TextTokenizer, TrainSettings, Trainer,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::data::rng;
use crate::models::{self, adamw, config};

/// Vocabulary of the reviews: two good words, two bad words, and four neutral words.
pub const WORDS: [&str; 8] = ["fine", "good", "bad", "awful", "the", "day", "food", "was"];

/// Random reviews of one to nine words, each with its class: 1 if good words outnumber bad words, otherwise 0.
pub fn texts(count: usize, seed: u64) -> Vec<(String, usize)> {
    let mut rng = rng(seed);
    let text = |_| {
        let words: Vec<usize> = (0..rng.random_range(1..10)).map(|_| rng.random_range(0..WORDS.len())).collect();
        let score: i32 = words.iter().map(|word| [1, 1, -1, -1, 0, 0, 0, 0][*word]).sum();
        (words.iter().map(|word| WORDS[*word]).collect::<Vec<_>>().join(" "), usize::from(score > 0))
    };
    (0..count).map(text).collect()
}

/// Random reviews without their classes.
pub fn words(count: usize, seed: u64) -> Vec<String> {
    texts(count, seed).into_iter().map(|(text, _)| text).collect()
}

/// Names of the classes.
pub fn labels() -> Vec<String> {
    ["other", "good"].map(String::from).into()
}

/// Tokenizer whose vocabulary contains [`WORDS`].
pub fn tokenizer() -> TextTokenizer {
    TextTokenizer::from_vocabulary(&WORDS.map(String::from)).expect("words")
}

/// Random reviews, encoded by [`tokenizer`].
pub fn data(rows: usize, seed: u64) -> EncodedDataset {
    let example = |(text, label)| Example { text, pair: None, label, targets: Vec::new() };
    let examples = texts(rows, seed).into_iter().map(example).collect();
    let data = Dataset::from_examples("reviews", labels(), examples).expect("labels of the classes");
    tokenizer().encode_all(&data, 16).expect("texts")
}

/// Random encoder of four layers with six heads each, for texts of [`WORDS`].
pub fn encoder(rng: &mut ChaCha8Rng) -> Encoder {
    models::encoder(&config([4, 6, 24, tokenizer().vocabulary_size()], None), rng)
}

/// Trainer with the settings for models of reviews.
pub fn trainer(epochs: usize) -> Trainer {
    Trainer::new(TrainSettings { epochs, batch_size: 8, optimizer: adamw(3e-3), ..TrainSettings::default() })
}

/// Classifier trained on random reviews.
pub fn full_model(
    training: &EncodedDataset,
    validation: &EncodedDataset,
    epochs: usize,
    rng: &mut ChaCha8Rng,
) -> TextClassifier {
    let mut model = TextClassifier::new(encoder(rng), 2, Pooling::Mean, rng).expect("a classifier");
    trainer(epochs).fit(&mut model, training, validation, &mut ()).expect("a completed training run");
    model
}
