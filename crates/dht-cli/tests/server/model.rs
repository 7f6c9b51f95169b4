//! Small models that have learned something, and servers of them.

use std::sync::OnceLock;
use std::time::Duration;

use candle_core::Device;
use dht_cli::{Limits, Server, ServerSettings};
use dht_dynamic::accelerate::{AccelerateSettings, Texts, accelerate};
use dht_dynamic::serving::ServiceSettings;
use dht_dynamic::transformer::{
    AdamWSettings, BertConfig, Dataset, EncodedDataset, Encoder, Example, Pooling, TextClassifier, TextTokenizer,
    TrainSettings, Trainer,
};
use dht_dynamic::{DynamicModel, Engine, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const WORDS: [&str; 8] = ["fine", "good", "bad", "awful", "the", "day", "food", "was"];

/// Texts of one to nine words.
pub fn texts(count: usize, seed: u64) -> Vec<String> {
    classed(count, seed).into_iter().map(|(text, _)| text).collect()
}

/// Texts, and whether good words outnumber bad ones.
fn classed(count: usize, seed: u64) -> Vec<(String, usize)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let text = |_| {
        let words: Vec<usize> = (0..rng.random_range(1..10)).map(|_| rng.random_range(0..WORDS.len())).collect();
        let score: i32 = words.iter().map(|word| [1, 1, -1, -1, 0, 0, 0, 0][*word]).sum();
        (words.iter().map(|word| WORDS[*word]).collect::<Vec<_>>().join(" "), usize::from(score > 0))
    };
    (0..count).map(text).collect()
}

pub fn labels() -> Vec<String> {
    ["other", "good"].map(String::from).into()
}

fn data(tokenizer: &TextTokenizer, rows: usize, seed: u64) -> Result<EncodedDataset> {
    let example = |(text, label)| Example { text, pair: None, label, targets: Vec::new() };
    let examples = classed(rows, seed).into_iter().map(example).collect();
    Ok(tokenizer.encode_all(&Dataset::from_examples("reviews", labels(), examples)?, 16)?)
}

fn trained() -> Result<(DynamicModel, TextTokenizer)> {
    let tokenizer = TextTokenizer::from_vocabulary(&WORDS.map(String::from))?;
    let (train, held_out) = (data(&tokenizer, 300, 1)?, data(&tokenizer, 120, 2)?);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let encoder = Encoder::random(&BertConfig::small(4, 6, 24, tokenizer.vocabulary_size())?, &Device::Cpu, &mut rng)?;
    let mut classifier = TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng)?;
    let optimizer = AdamWSettings { learning_rate: 3e-3, ..AdamWSettings::default() };
    let settings = TrainSettings { epochs: 2, batch_size: 8, optimizer, ..TrainSettings::default() };
    Trainer::new(settings).fit(&mut classifier, &train, &held_out, &mut ())?;
    let texts = Texts::new(&train).with_held_out(&held_out);
    let model = accelerate(&classifier, texts, &AccelerateSettings::default(), &mut rng)?.model;
    Ok((model, tokenizer))
}

/// An accelerated classifier: some texts leave before the first layer, some at exits.
pub fn parts() -> &'static (DynamicModel, TextTokenizer) {
    static PARTS: OnceLock<(DynamicModel, TextTokenizer)> = OnceLock::new();
    PARTS.get_or_init(|| trained().expect("a model"))
}

pub fn engine() -> Result<Engine> {
    let (model, tokenizer) = parts();
    Engine::new(model.clone(), tokenizer.clone(), &labels())
}

/// Any free port, no log, and time enough for a machine that does other things.
pub fn settings() -> ServerSettings {
    ServerSettings {
        address: ([127, 0, 0, 1], 0).into(),
        name: "reviews".into(),
        log: false,
        limits: Limits { deadline: Duration::from_secs(60), ..Limits::default() },
        ..ServerSettings::default()
    }
}

pub fn server() -> Server {
    Server::start(engine, settings()).expect("a server")
}

/// A server whose texts wait for others until the server is told to stop, so that what waits can be counted.
pub fn patient(change: impl FnOnce(&mut ServerSettings)) -> Server {
    let service =
        ServiceSettings { batch_tokens: 1 << 17, max_wait: Duration::from_secs(60), ..ServiceSettings::default() };
    let mut settings = ServerSettings { service, ..settings() };
    change(&mut settings);
    // At speed 0 no text leaves in front, where it would not wait.
    Server::start(|| engine()?.with_speed(0.0), settings).expect("a server")
}
