//! Small models that have learned something: accelerated ones, with and without an exit before the first layer.

use std::sync::OnceLock;

use candle_core::Device;
use dht_dynamic::Result;
use dht_dynamic::accelerate::{AccelerateSettings, Texts, accelerate};
use dht_dynamic::serving::{Engine, Service, ServiceSettings};
use dht_dynamic::transformer::{
    AdamWSettings, BertConfig, Dataset, EncodedDataset, Encoder, Example, Pooling, TextClassifier, TextTokenizer,
    TrainSettings, Trainer,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const WORDS: [&str; 8] = ["fine", "good", "bad", "awful", "the", "day", "food", "was"];

/// Texts of one to nine words, and a class: whether good words outnumber bad ones.
pub fn texts(count: usize, seed: u64) -> Vec<(String, usize)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let text = |_| {
        let words: Vec<usize> = (0..rng.random_range(1..10)).map(|_| rng.random_range(0..WORDS.len())).collect();
        let score: i32 = words.iter().map(|word| [1, 1, -1, -1, 0, 0, 0, 0][*word]).sum();
        (words.iter().map(|word| WORDS[*word]).collect::<Vec<_>>().join(" "), usize::from(score > 0))
    };
    (0..count).map(text).collect()
}

fn labels() -> Vec<String> {
    ["other", "good"].map(String::from).into()
}

fn data(tokenizer: &TextTokenizer, rows: usize, seed: u64) -> Result<EncodedDataset> {
    let example = |(text, label)| Example { text, pair: None, label, targets: Vec::new() };
    let examples = texts(rows, seed).into_iter().map(example).collect();
    Ok(tokenizer.encode_all(&Dataset::from_examples("reviews", labels(), examples)?, 16)?)
}

fn encoder(tokenizer: &TextTokenizer, rng: &mut ChaCha8Rng) -> Result<Encoder> {
    Ok(Encoder::random(&BertConfig::small(4, 6, 24, tokenizer.vocabulary_size())?, &Device::Cpu, rng)?)
}

fn trainer(epochs: usize) -> Trainer {
    let optimizer = AdamWSettings { learning_rate: 3e-3, ..AdamWSettings::default() };
    Trainer::new(TrainSettings { epochs, batch_size: 8, optimizer, ..TrainSettings::default() })
}

fn accelerated_engine(settings: &AccelerateSettings) -> Result<Engine> {
    let tokenizer = TextTokenizer::from_vocabulary(&WORDS.map(String::from))?;
    let (train, held_out) = (data(&tokenizer, 300, 1)?, data(&tokenizer, 120, 2)?);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut classifier = TextClassifier::new(encoder(&tokenizer, &mut rng)?, 2, Pooling::Mean, &mut rng)?;
    trainer(2).fit(&mut classifier, &train, &held_out, &mut ())?;
    let texts = Texts::new(&train).with_held_out(&held_out);
    Engine::new(accelerate(&classifier, texts, settings, &mut rng)?.model, tokenizer, &labels())
}

/// An engine of an accelerated classifier whose texts all run layers: no front exit, a threshold.
pub fn without_front() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let settings = AccelerateSettings { ngram: None, ..AccelerateSettings::default() };
    let engine = || accelerated_engine(&settings)?.with_speed(0.1);
    ENGINE.get_or_init(|| engine().expect("an engine")).clone()
}

/// An engine of an accelerated classifier: a front exit, stacked exits, a threshold.
pub fn accelerated() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| accelerated_engine(&AccelerateSettings::default()).expect("an engine")).clone()
}

/// A service that runs what waits after `wait`, or as soon as `batch_tokens` wait.
pub fn service(engine: Engine, batch_tokens: usize, wait: std::time::Duration) -> Result<Service> {
    Service::start(engine, ServiceSettings { batch_tokens, max_wait: wait, ..ServiceSettings::default() })
}
