//! Trains a small encoder to distinguish praise from complaint, saves it as a Hugging Face directory, and loads it
//! again.
//!
//! ```text
//! cargo run --release -p dht-transformer --example fine_tune
//! ```
//!
//! The sentences are generated, and "not" reverses their meaning, so a single word does not determine the class.

use std::io::Write;

use candle_core::Device;
use dht_transformer::{
    AdamWSettings, BertConfig, Dataset, Encoder, Example, PackedBatch, Pooling, Result, Sample, TextClassifier,
    TextTokenizer, TrainSettings, Trainer,
    pretrained::PretrainedWeights,
    train::{Event, Predict, metrics::Confusion},
};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const THINGS: [&str; 6] = ["the soup", "this film", "her song", "the hotel", "our trip", "that book"];
const GOOD: [&str; 4] = ["lovely", "great", "brilliant", "a pleasure"];
const BAD: [&str; 4] = ["awful", "dull", "a mess", "terrible"];
const LONGEST: usize = 32;

fn sentence(rng: &mut ChaCha8Rng) -> Example {
    let (praise, negated) = (rng.random_bool(0.5), rng.random_bool(0.5));
    let words = if praise { GOOD } else { BAD };
    let pick = |words: &[&'static str], rng: &mut ChaCha8Rng| words.choose(rng).copied().unwrap_or_default();
    let (thing, word) = (pick(&THINGS, rng), pick(&words, rng));
    let text = format!("{thing} was {}{word}.", if negated { "not " } else { "" });
    Example { text, pair: None, label: usize::from(praise != negated), targets: Vec::new() }
}

/// Prints a line to standard output. A closed pipe is not an error.
fn tell(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn main() -> Result<()> {
    let folder = std::env::temp_dir().join("praise-or-complaint");
    PretrainedWeights::check_target(&folder)?;
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let labels = vec!["complaint".to_owned(), "praise".to_owned()];
    let examples = (0..600).map(|_| sentence(&mut rng)).collect();
    let data = Dataset::from_examples("sentences", labels.clone(), examples)?;
    let (training, test) = data.split_validation(0.2, &mut rng)?;
    let (training, validation) = training.split_validation(0.1, &mut rng)?;

    // Convert texts to tokens.
    let tokenizer = TextTokenizer::train(training.examples.iter().map(|example| &*example.text), 200)?;
    let encode = |part| tokenizer.encode_all(part, LONGEST);
    let (training, validation, test) = (encode(&training)?, encode(&validation)?, encode(&test)?);

    // Create a classifier of tokens. `TextClassifier::from_pretrained` would start from a downloaded model instead.
    let config = BertConfig::small(2, 4, 32, tokenizer.vocabulary_size())?;
    let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
    let mut model = TextClassifier::new(encoder, labels.len(), Pooling::Mean, &mut rng)?;
    let settings = TrainSettings {
        epochs: 12,
        batch_size: 16,
        optimizer: AdamWSettings { learning_rate: 3e-3, ..AdamWSettings::default() },
        ..TrainSettings::default()
    };
    let mut observer = |event: Event<'_>| {
        if let Event::Epoch(record) = event {
            let score = record.validation_score.unwrap_or_default();
            let (epoch, loss) = (record.epoch + 1, record.loss);
            tell(format_args!("epoch {epoch:2}: loss {loss:.3} nats, macro F1 on validation {score:.3}"));
        }
    };
    let history = Trainer::new(settings).fit(&mut model, &training, &validation, &mut observer)?;
    // Python's `transformers` loads the directory, too. With `Pooling::Pooler`, it has a class for the classifier.
    model.save(&folder, Some(&tokenizer), &labels)?;
    let (steps, seconds) = (history.steps, history.train_seconds);
    let f1 = Confusion::from_predictions(&test, &model.predictions(&test, 64)?)?.macro_f1();
    tell(format_args!("{steps} steps in {seconds:.1} s; macro F1 on test {f1:.3}"));
    let load = "AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)";
    let shown = folder.display();
    tell(format_args!("kept in {shown}; in Python: {load}, since it has no class for the mean of all tokens"));
    let (model, tokenizer) = (TextClassifier::load(&folder, &Device::Cpu)?, TextTokenizer::from_dir(&folder)?);
    for (id, text) in (0..).zip(["Our trip was a pleasure.", "The hotel was not great.", "Her song was not dull."]) {
        let sample = Sample { id, label: 0, targets: Vec::new(), encoding: tokenizer.encode(text, None, LONGEST)? };
        let probabilities = &model.probabilities(&PackedBatch::from_samples([&sample])?)?[0];
        tell(format_args!("{text:26} praise with probability {:.3}", probabilities[1]));
    }
    Ok(())
}
