//! Trains a classifier, measures the importance of its heads and neurons, prunes the least important ones, and saves
//! the smaller model.
//!
//! ```text
//! cargo run --release -p dht-transformer --example prune_and_export [-- DIRECTORY]
//! ```
//!
//! The sentences are generated; their class depends on a word and on whether "not" precedes it. DIRECTORY (default: a
//! temporary directory) becomes an ordinary Hugging Face directory. It has fewer neurons, and zeros in place of removed
//! heads.

use std::io::Write;
use std::path::PathBuf;

use candle_core::Device;
use dht_transformer::{
    AdamWSettings, BertConfig, Dataset, EncodedDataset, Encoder, Example, Pooling, Result, TextClassifier,
    TextTokenizer, TrainSettings, Trainer,
    flops::FlopCount,
    pretrained::PretrainedWeights,
    pruning::{Importance, PrunePlan},
    train::{Predict, metrics::Confusion},
};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const THINGS: [&str; 6] = ["the soup", "this film", "her song", "the hotel", "our trip", "that book"];
const WORDS: [[&str; 4]; 2] = [["awful", "dull", "a mess", "terrible"], ["lovely", "great", "brilliant", "a pleasure"]];
const LABELS: [&str; 2] = ["complaint", "praise"];

fn sentence(rng: &mut ChaCha8Rng) -> Example {
    let (praise, negated) = (rng.random_bool(0.5), rng.random_bool(0.5));
    let mut pick = |words: &[&'static str]| words.choose(rng).copied().unwrap_or_default();
    let (thing, word) = (pick(&THINGS), pick(&WORDS[usize::from(praise)]));
    let text = format!("{thing} was {}{word}.", if negated { "not " } else { "" });
    Example { text, pair: None, label: usize::from(praise != negated), targets: Vec::new() }
}

/// Prints a line to standard output. A closed pipe is not an error.
fn tell(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a model's accuracy on a data set, and the FLOPs of predicting it once.
fn tell_accuracy(what: &str, model: &TextClassifier, data: &EncodedDataset) -> Result<()> {
    let before = FlopCount::executed().0;
    let accuracy = Confusion::from_predictions(data, &model.predictions(data, 64)?)?.accuracy();
    let megaflops = (FlopCount::executed().0 - before) as f64 / 1e6;
    tell(format_args!("{what:32} accuracy {accuracy:.3}, {megaflops:6.1} MFLOP"));
    Ok(())
}

fn main() -> Result<()> {
    let place = std::env::temp_dir().join("praise-or-complaint-cut");
    let folder = std::env::args().nth(1).map_or(place, PathBuf::from);
    PretrainedWeights::check_target(&folder)?;
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let examples = (0..700).map(|_| sentence(&mut rng)).collect();
    let data = Dataset::from_examples("sentences", LABELS.map(String::from).to_vec(), examples)?;
    let (training, test) = data.split_validation(0.3, &mut rng)?;
    let tokenizer = TextTokenizer::train(training.examples.iter().map(|example| &*example.text), 200)?;
    let (training, test) = (tokenizer.encode_all(&training, 32)?, tokenizer.encode_all(&test, 32)?);

    let config = BertConfig::small(2, 8, 64, tokenizer.vocabulary_size())?;
    let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
    let mut model = TextClassifier::new(encoder, LABELS.len(), Pooling::Pooler, &mut rng)?;
    let optimizer = AdamWSettings { learning_rate: 2e-3, ..AdamWSettings::default() };
    let settings = TrainSettings { epochs: 8, batch_size: 16, optimizer, ..TrainSettings::default() };
    Trainer::new(settings).fit(&mut model, &training, &training, &mut ())?;
    tell_accuracy("whole model", &model, &test)?;

    // Importance is computed from training texts.
    let rows: Vec<usize> = (0..100).collect();
    let loss = |batch: &_, ctx: &_| model.loss(batch, ctx);
    let importance = Importance::by_gradient(model.encoder(), &training, &rows, loss)?;
    tell(format_args!("heads of both layers, the most important first: {:?}", importance.ordered_heads()));
    let mut smallest = model.prune(&PrunePlan::first_layers(model.encoder(), 2)?)?;
    for (heads, neurons) in [(6, 128), (4, 64), (2, 32)] {
        smallest = model.prune(&PrunePlan::most_important(model.encoder(), &importance, heads, neurons)?)?;
        tell_accuracy(&format!("{heads} of 8 heads, {neurons} of 256 neurons"), &smallest, &test)?;
    }

    smallest.save(&folder, Some(&tokenizer), &LABELS.map(String::from))?;
    tell_accuracy("the smallest, loaded again", &TextClassifier::load(&folder, &Device::Cpu)?, &test)?;
    tell(format_args!("kept in {}", folder.display()));
    Ok(())
}
