//! Reviews of a few words, for engines and services.

use dht_transformer::{
    Dataset, EncodedDataset, Encoder, Example, Pooling, TextClassifier, TextTokenizer, TrainSettings, Trainer,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::data::rng;
use crate::models::{self, adamw, config};

/// The words: two good ones, two bad ones, and others.
pub const WORDS: [&str; 8] = ["fine", "good", "bad", "awful", "the", "day", "food", "was"];

/// Texts of one to nine words, and a class: whether good words outnumber bad ones.
pub fn texts(count: usize, seed: u64) -> Vec<(String, usize)> {
    let mut rng = rng(seed);
    let text = |_| {
        let words: Vec<usize> = (0..rng.random_range(1..10)).map(|_| rng.random_range(0..WORDS.len())).collect();
        let score: i32 = words.iter().map(|word| [1, 1, -1, -1, 0, 0, 0, 0][*word]).sum();
        (words.iter().map(|word| WORDS[*word]).collect::<Vec<_>>().join(" "), usize::from(score > 0))
    };
    (0..count).map(text).collect()
}

/// The texts alone.
pub fn words(count: usize, seed: u64) -> Vec<String> {
    texts(count, seed).into_iter().map(|(text, _)| text).collect()
}

/// The names of the classes.
pub fn labels() -> Vec<String> {
    ["other", "good"].map(String::from).into()
}

/// A tokenizer of the words.
pub fn tokenizer() -> TextTokenizer {
    TextTokenizer::from_vocabulary(&WORDS.map(String::from)).expect("words")
}

/// Texts as a model reads them.
pub fn data(rows: usize, seed: u64) -> EncodedDataset {
    let example = |(text, label)| Example { text, pair: None, label, targets: Vec::new() };
    let examples = texts(rows, seed).into_iter().map(example).collect();
    let data = Dataset::from_examples("reviews", labels(), examples).expect("labels of the classes");
    tokenizer().encode_all(&data, 16).expect("texts")
}

/// An encoder of four layers of six heads for the words.
pub fn encoder(rng: &mut ChaCha8Rng) -> Encoder {
    models::encoder(&config([4, 6, 24, tokenizer().vocabulary_size()], None), rng)
}

/// The training of a model that reads reviews.
pub fn trainer(epochs: usize) -> Trainer {
    Trainer::new(TrainSettings { epochs, batch_size: 8, optimizer: adamw(3e-3), ..TrainSettings::default() })
}

/// A classifier that has learned to tell reviews apart.
pub fn full_model(
    training: &EncodedDataset,
    validation: &EncodedDataset,
    epochs: usize,
    rng: &mut ChaCha8Rng,
) -> TextClassifier {
    let mut model = TextClassifier::new(encoder(rng), 2, Pooling::Mean, rng).expect("a classifier");
    trainer(epochs).fit(&mut model, training, validation, &mut ()).expect("a training");
    model
}
