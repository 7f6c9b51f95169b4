//! Comparison of S-DHT with the full model: one bandit selects among routes with fewer layers or fewer heads, never
//! both.
//!
//! `cargo run --release -p dht-search --example s_dht` needs no files and no network; `-- --help` lists the flags.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use candle_core::Device;
use clap::Parser;
use dht_search::dynamic::{Predictor, evaluate};
use dht_search::transformer::{
    AdamWSettings, BertConfig, Dataset, DatasetReader, Encoder, Pooling, TextClassifier, TextTokenizer, TrainSettings,
    Trainer,
    storage::{writable_file, write_atomically},
    train::EpochLines,
};
use dht_search::{Preset, SearchModel, SearchObjective, SearchSettings};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Flags {
    /// Directory with train.* and test.* or dev.* files: csv, tsv, jsonl [default: generated texts]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Hugging Face directory of an encoder [default: 7 layers from scratch]
    #[arg(long)]
    model: Option<PathBuf>,
    /// Training rows, a tenth of them for validation
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
    /// File for the table, with tabs
    #[arg(long, value_parser = writable_file)]
    record: Option<PathBuf>,
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
    let (training, validation) = texts.sample(rows, &mut rng).split_validation(0.1, &mut rng)?;
    let tokenizer = match &flags.model {
        Some(folder) => TextTokenizer::from_dir(folder)?,
        None => TextTokenizer::train(training.examples.iter().map(|example| &*example.text), 2000)?,
    };
    let encode = |data: &Dataset| tokenizer.encode_all(data, 64);
    let (training, validation, test) = (encode(&training)?, encode(&validation)?, encode(&test)?);
    let (encoder, pooling, learning_rate, beta2) = match &flags.model {
        Some(folder) => (Encoder::from_pretrained(folder, &device)?, Pooling::Mean, 5e-5, 0.999),
        None => {
            let config = BertConfig::small(7, 12, 96, tokenizer.vocabulary_size())?.with_dropout(0.0);
            (Encoder::random(&config, &device, &mut rng)?, Pooling::Cls, 1e-3, 0.98)
        }
    };
    let (layers, heads, classes) = (encoder.layers(), encoder.block_shape().heads, training.labels.len());
    let optimizer = AdamWSettings { learning_rate, beta2, ..AdamWSettings::default() };
    let trainer = Trainer::new(TrainSettings { epochs: flags.epochs, optimizer, ..TrainSettings::default() });

    let mut full = TextClassifier::new(encoder.truncated(layers)?, classes, pooling, &mut rng)?;
    trainer.fit(&mut full, &training, &validation, &mut EpochLines::new("full model"))?;

    let space = Preset::SDht.space(layers, heads)?;
    let settings = SearchSettings::for_encoder(&space, flags.model.is_some());
    let model = SearchModel::new(encoder, space, settings, classes, &mut rng)?;
    let mut search = SearchObjective::new(model)?;
    trainer.fit(&mut search, &training, &validation, &mut EpochLines::new("S-DHT"))?;

    let mut table = "model\taccuracy\tmacro F1\tFLOPs\n".to_owned();
    for (name, model) in [("full model", &full as &dyn Predictor), ("S-DHT", search.model())] {
        let evaluation = evaluate(model, &test, 64)?;
        let flops = (evaluation.flops + evaluation.routing_flops) as f64 / full.full_flops_of(&test) as f64;
        table += &format!(
            "{name}\t{:.3}\t{:.3}\t{flops:.3}\n",
            evaluation.confusion.accuracy(),
            evaluation.confusion.macro_f1()
        );
    }
    let record = |path| write_atomically(path, |file| file.write_all(table.as_bytes()));
    let recorded = flags.record.as_ref().map_or(Ok(()), record);
    std::io::stdout().write_all(table.as_bytes())?;
    Ok(recorded?)
}
