//! Makes an encoder out of plain text: it learns to guess words that are hidden from it.
//!
//! ```text
//! cargo run --release -p dht-transformer --example pretrain -- TEXT TOKENIZER DIRECTORY [--size 4x4x192] \
//!     [--length 64] [--batch 64] [--rate 1e-3] [--epochs 1] [--blocks N] [--seed 0]
//! ```
//!
//! TEXT is a file with a paragraph a line and a blank line between documents, also compressed (`.gz`); TOKENIZER a
//! directory with a `tokenizer.json` or `vocab.txt`; DIRECTORY is written as a Hugging Face `BertForMaskedLM`. Stopped,
//! the training goes on from `DIRECTORY.checkpoint`; `DIRECTORY.history.json` tells its course. Without arguments a few made-up sentences show the way.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use candle_core::Device;
use dht_transformer::{
    AdamWSettings, CheckpointSettings, EncodedDataset, Encoder, Event, MaskSettings, MaskedLanguageModel, ModelSize,
    Schedule, TextTokenizer, TrainSettings, Trainer, WarmUp, write_atomically,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Steps between two checkpoints, and between two lines of output.
const EVERY: u64 = 100;

/// The value behind a flag, or what it is without it.
fn flag<T: std::str::FromStr>(arguments: &[String], name: &str, usual: T) -> Result<T, String> {
    let Some(place) = arguments.iter().position(|argument| argument == name) else { return Ok(usual) };
    let value = arguments.get(place + 1).ok_or_else(|| format!("{name}: a value is missing"))?;
    value.parse().map_err(|_| format!("{name}: cannot read {value:?}"))
}

/// A text file, a tokenizer's directory and a place for the result, in a folder of their own.
fn made_up(folder: &std::path::Path) -> Result<[PathBuf; 3], Box<dyn Error>> {
    let things = ["soup", "film", "song", "hotel", "book", "garden"];
    let words = ["fine", "dull", "long", "cold", "loud", "green"];
    let sentence = |i: usize| format!("the {} was {} and so was the next {0}.", things[i % 6], words[i * 5 % 7 % 6]);
    let text: Vec<String> = (0..600).map(sentence).collect();
    std::fs::write(folder.join("text.txt"), text.join("\n"))?;
    TextTokenizer::train(text.iter().map(String::as_str), 120)?.save(folder.join("tokenizer.json"))?;
    Ok([folder.join("text.txt"), folder.to_owned(), folder.join("encoder")])
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let temporary = tempfile::tempdir()?;
    let [text, tokenizer, target] = match &*arguments {
        [] => made_up(temporary.path())?,
        [text, tokenizer, target, ..] => [text, tokenizer, target].map(PathBuf::from),
        _ => return Err("expected TEXT TOKENIZER DIRECTORY".into()),
    };
    let (size, batch, epochs) = if arguments.is_empty() { ("2x2x32", 8, 20) } else { ("4x4x192", 64, 1) };
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let size: ModelSize = flag(&arguments, "--size", size.parse()?)?;
    let (seed, length) = (flag(&arguments, "--seed", 0)?, flag(&arguments, "--length", 64)?);

    let tokenizer = TextTokenizer::from_dir(tokenizer)?;
    let mut blocks = EncodedDataset::from_text(&text, &tokenizer, length)?;
    blocks.samples.truncate(flag(&arguments, "--blocks", blocks.len())?);
    let validation = blocks.samples.split_off(blocks.len() - blocks.len() / 100 - 1);
    let validation = EncodedDataset { samples: validation, labels: Vec::new(), truncated_rows: 0 };
    println!("{} blocks of {length} tokens, {} kept for validation", blocks.len(), validation.len());

    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut config = size.config(tokenizer.vocabulary_size())?;
    // So little text is not seen often enough to be learnt by heart; a fine-tuning may set a dropout of its own.
    (config.hidden_dropout_prob, config.attention_probs_dropout_prob) = (0.0, 0.0);
    let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
    let mut model = MaskedLanguageModel::new(encoder, &tokenizer, MaskSettings::default(), &mut rng)?;
    let optimizer =
        AdamWSettings { learning_rate: flag(&arguments, "--rate", 1e-3)?, beta2: 0.98, ..AdamWSettings::default() };
    let (epochs, batch_size) = (flag(&arguments, "--epochs", epochs)?, flag(&arguments, "--batch", batch)?);
    let schedule = Schedule::Linear { warm_up: WarmUp::Fraction(0.06) };
    let settings = TrainSettings { epochs, batch_size, seed, optimizer, schedule, ..TrainSettings::default() };
    let checkpoint = CheckpointSettings { path: target.with_extension("checkpoint"), every_steps: EVERY, resume: true };
    let trainer = Trainer { checkpoint: Some(checkpoint), ..Trainer::new(settings) };

    let start = Instant::now();
    let mut observer = |event: Event<'_>| match event {
        Event::Step { progress, loss, .. } if progress.step.is_multiple_of(EVERY) => {
            println!("step {}: loss {loss:.3} nats after {:.0} s", progress.step, start.elapsed().as_secs_f64());
        }
        Event::Epoch(record) => println!("loss on validation {:.3}", -record.validation_score.unwrap_or_default()),
        Event::Started { .. } | Event::Step { .. } => {}
    };
    let history = trainer.fit(&mut model, &blocks, &validation, &mut observer)?;
    model.save(&target, &tokenizer)?;
    let record = serde_json::json!({"text": text.file_name().map(|name| name.to_string_lossy()), "size": size.to_string(),
        "length": length, "settings": trainer.settings, "blocks": blocks.len(), "history": history});
    write_atomically(target.with_extension("history.json"), |file| writeln!(file, "{record:#}"))?;
    println!("{} steps in {:.0} s; written to {}", history.steps, history.train_seconds, target.display());
    Ok(())
}
