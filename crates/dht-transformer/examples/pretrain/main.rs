//! Pre-trains an encoder on plain text by masked language modelling: it learns to predict hidden words.
//!
//! ```text
//! cargo run --release -p dht-transformer --example pretrain -- TEXT TOKENIZER DIRECTORY [--size 2x4x192] \
//!     [--length 48] [--hidden 0.4] [--batch 64] [--rate 1e-3] [--epochs 2] [--blocks N] [--seed 0]
//! ```
//!
//! TEXT is a file with one paragraph on each line and a blank line between documents, also compressed (`.gz`).
//! TOKENIZER is a directory with a `tokenizer.json` or `vocab.txt`, or the number of subwords to train from the text,
//! such as 8192. DIRECTORY is written as a Hugging Face `BertForMaskedLM`.
//!
//! An interrupted training run resumes from `DIRECTORY.checkpoint`; delete this file to start again.
//! `DIRECTORY.history.json` records the losses. Without arguments the program trains on a few generated sentences.
//! `docs/pretraining.md` gives the reasons for the default settings.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use candle_core::Device;
use clap::Parser;
use dht_transformer::{
    AdamWSettings, CheckpointSettings, EncodedDataset, Encoder, MaskedLanguageModel, TextTokenizer, TrainSettings,
    Trainer,
    config::ModelSize,
    data::MaskSettings,
    error::CheckpointProblem,
    storage::write_atomically,
    train::{
        Event,
        optim::{Schedule, WarmUp},
    },
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

mod place;

use place::Place;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Number of steps between two checkpoints, and between two lines of output.
const EVERY: u64 = 100;

/// Pre-train an encoder on plain text. Without arguments, train on a few generated sentences.
#[derive(Parser)]
struct Arguments {
    /// Text with one paragraph on each line and a blank line between documents; also compressed (.gz)
    text: PathBuf,
    /// Directory with a tokenizer, or number of subwords to train from the text
    tokenizer: PathBuf,
    /// Write the encoder to this directory
    directory: PathBuf,
    /// Layers x heads x width
    #[arg(long, default_value = "2x4x192")]
    size: ModelSize,
    /// Number of tokens in a block
    #[arg(long, default_value_t = 48)]
    length: usize,
    /// Share of words that are hidden
    #[arg(long, default_value_t = 0.4)]
    hidden: f64,
    #[arg(long, default_value_t = 64)]
    batch: usize,
    #[arg(long, default_value_t = 1e-3)]
    rate: f64,
    #[arg(long, default_value_t = 2)]
    epochs: usize,
    /// Number of blocks of the text to read [default: all]
    #[arg(long)]
    blocks: Option<usize>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Arguments for a run on generated sentences: a text file, the number of subwords, and the output directory, all in
/// `folder`.
fn made_up(folder: &Path) -> Result<Arguments, Box<dyn Error>> {
    let things = ["soup", "film", "song", "hotel", "book", "garden"];
    let words = ["fine", "dull", "long", "cold", "loud", "green"];
    let sentence = |i: usize| format!("the {} was {} and so was the next {0}.", things[i % 6], words[i * 5 % 7 % 6]);
    let text: Vec<String> = (0..600).map(sentence).collect();
    std::fs::write(folder.join("text.txt"), text.join("\n"))?;
    let paths = [folder.join("text.txt"), "120".into(), folder.join("encoder")].map(PathBuf::into_os_string);
    let smaller = ["pretrain", "--size", "2x2x32", "--batch", "8", "--epochs", "20"].map(OsString::from);
    Ok(Arguments::try_parse_from(smaller.into_iter().chain(paths))?)
}

/// Loss on the validation blocks, in nats, of predicting words by their frequency only. A model that does not get below
/// it has learned nothing from the context.
fn loss_by_frequency(blocks: &EncodedDataset, validation: &EncodedDataset, vocabulary: usize) -> f64 {
    let words = |data: &EncodedDataset| -> Vec<usize> {
        let texts = data.samples.iter().map(|sample| &sample.encoding.ids);
        texts.flat_map(|ids| &ids[1..ids.len() - 1]).map(|id| *id as usize).collect()
    };
    let (training, validation) = (words(blocks), words(validation));
    let mut counts = vec![1.0; vocabulary];
    training.iter().for_each(|word| counts[*word] += 1.0);
    let total = (training.len() + vocabulary) as f64;
    validation.iter().map(|word| -(counts[*word] / total).ln()).sum::<f64>() / validation.len() as f64
}

/// Prints a line to standard output. A closed pipe does not end a training run.
fn tell(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Adds to a checkpoint error how to start again. This program always resumes, so the checkpoint of another training
/// run must be deleted.
fn or_begin_anew(error: dht_transformer::Error) -> Box<dyn Error> {
    match &error {
        dht_transformer::Error::Checkpoint { path, problem: CheckpointProblem::OtherTraining { differences } } => {
            let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
            let (path, differences) = (path.display(), differences.join(", "));
            format!(
                "checkpoint {path} belongs to another training run: {differences}; repeat the settings of that run, \
                 delete the file to start again, or choose another directory"
            )
            .into()
        }
        _ => error.into(),
    }
}

fn main() -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    let _ = writeln!(std::io::stderr(), "error: {error}");
    ExitCode::FAILURE
}

fn run() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let arguments = if std::env::args().len() == 1 { made_up(temporary.path())? } else { Arguments::parse() };
    let place = Place::take(&arguments.directory)?;

    let Arguments { text, tokenizer, size, length, seed, .. } = &arguments;
    let tokenizer = match tokenizer.to_str().map(str::parse) {
        Some(Ok(pieces)) => TextTokenizer::train_from_text(text, pieces)?,
        _ => TextTokenizer::from_dir(tokenizer)?,
    };
    let mut blocks = EncodedDataset::from_text(text, &tokenizer, *length)?;
    blocks.samples.truncate(arguments.blocks.unwrap_or(usize::MAX));
    if blocks.len() < 2 {
        return Err(
            format!("{} blocks of {length} tokens: one to train and one to validate are needed", blocks.len()).into()
        );
    }
    let validation = blocks.samples.split_off(blocks.len() - blocks.len() / 100 - 1);
    let validation = EncodedDataset { samples: validation, labels: Vec::new(), truncated_rows: 0 };
    let by_frequency = loss_by_frequency(&blocks, &validation, tokenizer.vocabulary_size());
    tell(format_args!("{} blocks of {length} tokens, {} kept for validation", blocks.len(), validation.len()));
    tell(format_args!("guessing by frequency has loss {by_frequency:.3} nats"));

    let mut rng = ChaCha8Rng::seed_from_u64(*seed);
    // Without dropout, since the text is seen too rarely to be memorised; fine-tuning can set its own dropout.
    let config = size.config(tokenizer.vocabulary_size())?.with_dropout(0.0);
    let encoder = Encoder::random_with_local_attention(&config, &Device::Cpu, &mut rng)?;
    let masks = MaskSettings { chosen: arguments.hidden, ..MaskSettings::default() };
    let mut model = MaskedLanguageModel::new(encoder, &tokenizer, masks, &mut rng)?;
    let optimizer = AdamWSettings { learning_rate: arguments.rate, beta2: 0.98, ..AdamWSettings::default() };
    let (epochs, batch_size, seed) = (arguments.epochs, arguments.batch, *seed);
    let schedule = Schedule::Linear { warm_up: WarmUp::Fraction(0.06) };
    let settings = TrainSettings { epochs, batch_size, seed, optimizer, schedule, ..TrainSettings::default() };
    let checkpoint = CheckpointSettings { path: place.beside("checkpoint"), every_steps: EVERY, resume: true };
    let trainer = Trainer { checkpoint: Some(checkpoint), ..Trainer::new(settings) };

    let start = Instant::now();
    let mut observer = |event: Event<'_>| match event {
        Event::Step { progress, loss, .. } if progress.step.is_multiple_of(EVERY) => {
            tell(format_args!(
                "step {}: loss {loss:.3} nats after {:.0} s",
                progress.step,
                start.elapsed().as_secs_f64()
            ));
        }
        Event::Epoch(record) => {
            tell(format_args!("loss on validation {:.3}", -record.validation_score.unwrap_or_default()))
        }
        _ => {}
    };
    let history = trainer.fit(&mut model, &blocks, &validation, &mut observer).map_err(or_begin_anew)?;
    model.save(place.directory(), &tokenizer)?;
    let record = serde_json::json!({"text": text.file_name().map(|name| name.to_string_lossy()), "size": size.to_string(),
        "length": length, "pieces": tokenizer.vocabulary_size(), "masks": masks, "settings": trainer.settings,
        "blocks": blocks.len(), "loss_by_frequency": by_frequency, "history": history});
    write_atomically(place.beside("history.json"), |file| writeln!(file, "{record:#}"))?;
    tell(format_args!(
        "{} steps in {:.0} s; written to {}",
        history.steps,
        history.train_seconds,
        place.directory().display()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use dht_transformer::error::SettingMismatch;

    use super::*;

    #[test]
    fn help_says_that_all_blocks_are_read_by_default() {
        let help = Arguments::command().render_help().to_string();
        let blocks = help.lines().find(|line| line.contains("--blocks")).unwrap();
        assert!(blocks.ends_with("[default: all]"), "{blocks}");
    }

    #[test]
    fn flags_unlike_the_checkpoint_name_the_file_to_delete() {
        let [field, stored, asked] = ["seed", "0", "1"].map(String::from);
        let problem = CheckpointProblem::OtherTraining { differences: vec![SettingMismatch { field, stored, asked }] };
        let error = dht_transformer::Error::Checkpoint { path: "encoder.checkpoint".into(), problem };
        assert_eq!(
            or_begin_anew(error).to_string(),
            "checkpoint encoder.checkpoint belongs to another training run: seed is 0 there and 1 here; repeat the \
             settings of that run, delete the file to start again, or choose another directory"
        );
    }
}
