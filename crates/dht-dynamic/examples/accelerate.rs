//! Adds exits to a fine-tuned classifier without changing it, and prints the cost and accuracy of each speed.
//!
//! `cargo run --release -p dht-dynamic --example accelerate` first trains a classifier on
//! generated texts. `--classifier` names a Hugging Face directory of your own classifier instead, and `--data` the
//! texts that it was fine-tuned on. `-- --help` lists the flags.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use candle_core::Device;
use clap::Parser;
use dht_dynamic::accelerate::{AccelerateSettings, Texts, accelerate};
use dht_dynamic::evaluation::time_in_turns;
use dht_dynamic::transformer::{
    AdamWSettings, BertConfig, Dataset, DatasetReader, Encoder, Pooling, TextClassifier, TextTokenizer, TrainSettings,
    Trainer,
    storage::{writable_file, write_atomically},
    train::EpochLines,
};
use dht_dynamic::{Error, Predictor, evaluate, exit::NgramSettings};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Flags {
    /// Directory with train.* and test.* or dev.* files: csv, tsv, jsonl [default: generated texts]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Hugging Face directory of a fine-tuned classifier [default: a small one is trained]
    #[arg(long, requires = "data")]
    classifier: Option<PathBuf>,
    /// Training rows, a tenth of them held out
    #[arg(long, default_value_t = 6000, value_parser = clap::value_parser!(u32).range(40..))]
    rows: u32,
    /// Passes over the training rows
    #[arg(long, default_value_t = 4)]
    epochs: usize,
    /// Seed of every random number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Compute on the first NVIDIA card (feature cuda)
    #[arg(long)]
    cuda: bool,
    /// Directory for the accelerated model
    #[arg(long, value_parser = writable_directory)]
    out: Option<PathBuf>,
    /// File for the table, with tabs
    #[arg(long, value_parser = writable_file)]
    record: Option<PathBuf>,
}

/// Parses the path of a directory that can be written.
fn writable_directory(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    let exists = path.ancestors().find(|folder| folder.exists() || folder.as_os_str().is_empty());
    let folder = exists.unwrap_or(&path);
    writable_file(&folder.join("model").to_string_lossy())
        .map_err(|_| format!("{} is not a directory that can be written", folder.display()))?;
    Ok(path)
}

fn main() -> ExitCode {
    let Err(error) = run(&Flags::parse()) else { return ExitCode::SUCCESS };
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

fn run(flags: &Flags) -> Result<(), Box<dyn std::error::Error>> {
    let (rows, mut rng) = (flags.rows as usize, ChaCha8Rng::seed_from_u64(flags.seed));
    let device = if flags.cuda { Device::new_cuda(0)? } else { Device::Cpu };

    let (texts, test) = match &flags.data {
        Some(folder) => DatasetReader::new().read_directory(folder)?,
        None => (Dataset::generated(rows, 1)?, Dataset::generated(1000, 2)?),
    };
    eprintln!("{texts}\n{test}");
    let texts = texts.sample(rows, &mut rng);
    let got = texts.len() - texts.len() / 10;
    if got < Texts::LEAST {
        return Err(format!("{} has {got} rows to train on, expected at least {}", texts.name, Texts::LEAST).into());
    }
    let (training, held_out) = texts.split_validation(0.1, &mut rng)?;
    let tokenizer = match &flags.classifier {
        Some(folder) => TextTokenizer::from_dir(folder)?,
        None => TextTokenizer::train(training.examples.iter().map(|example| &*example.text), 2000)?,
    };
    // The n-gram model also reads the tokens that the encoder truncates.
    let tokenizer = tokenizer.with_rest(4096);
    let encode = |data: &Dataset| tokenizer.encode_all(data, 64);
    let (training, held_out, test) = (encode(&training)?, encode(&held_out)?, encode(&test)?);
    let classifier = match &flags.classifier {
        Some(folder) => TextClassifier::load(folder, &device)?,
        None => {
            let config = BertConfig::small(7, 12, 96, tokenizer.vocabulary_size())?.with_dropout(0.0);
            let encoder = Encoder::random(&config, &device, &mut rng)?;
            let mut classifier = TextClassifier::new(encoder, training.labels.len(), Pooling::Cls, &mut rng)?;
            let optimizer = AdamWSettings { learning_rate: 1e-3, beta2: 0.98, ..AdamWSettings::default() };
            let settings = TrainSettings { epochs: flags.epochs, optimizer, ..TrainSettings::default() };
            Trainer::new(settings).fit(&mut classifier, &training, &held_out, &mut EpochLines::new("classifier"))?;
            classifier
        }
    };

    let ngram = Some(NgramSettings { left_out: tokenizer.tokens_around()?, ..NgramSettings::default() });
    let settings = AccelerateSettings { ngram, ..AccelerateSettings::default() };
    let texts = Texts::new(&training).with_held_out(&held_out);
    let made = accelerate(&classifier, texts, &settings, &mut rng)?;
    eprintln!(
        "accelerated in {:.1} s; speed {:.3} loses nothing on held-out texts",
        made.report.seconds,
        made.model.speed().unwrap_or_default()
    );

    let full = classifier.full_flops_of(&test) as f64;
    let mut table = "speed\tFLOPs\tseconds\taccuracy\tmacro F1\n".to_owned();
    let mut add = |name: &str, model: &dyn Predictor| -> Result<(), Error> {
        let (found, times) = (evaluate(model, &test, 64)?, time_in_turns(&[&classifier, model], &test, 64, 3)?);
        let (scores, seconds) = (&found.confusion, times[1].median() / times[0].median());
        let flops = found.flops as f64 / full;
        table += &format!("{name}\t{flops:.3}\t{seconds:.3}\t{:.3}\t{:.3}\n", scores.accuracy(), scores.macro_f1());
        Ok(())
    };
    add("classifier", &classifier)?;
    for cost in [0.5, 0.25, 0.1] {
        if let Some(point) = made.report.within(cost) {
            add(&format!("{:.3}", point.speed), &made.model.with_speed(point.speed)?)?;
        }
    }
    let record = |path| write_atomically(path, |file| file.write_all(table.as_bytes()));
    let recorded = flags.record.as_ref().map_or(Ok(()), record);
    if let Some(folder) = &flags.out {
        made.model.save(folder, Some(&tokenizer), &training.labels)?;
    }
    std::io::stdout().write_all(table.as_bytes())?;
    Ok(recorded?)
}
