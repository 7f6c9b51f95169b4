//! Compares fine-tuning of a pre-trained encoder with training from random weights.
//!
//! ```text
//! cargo run --release --example pretrained_or_random -- ENCODER DATA [--seeds 3] [--epochs 3] \
//!     [--rows 1000 --rows 4000 …] [--out RECORD.json] [--page docs/pretraining.md]
//! ```
//!
//! ENCODER is a Hugging Face directory with a tokenizer, such as the example `pretrain` of `dht-transformer` writes; DATA is a
//! directory with `train.*` and `dev.*`. There are two random starts: the ordinary initialisation, and the local-attention
//! initialisation of `pretrain`. All starts have the same shape, rows, seeds and settings except for the learning rate: each
//! has the rate with the best accuracy, at seed 0, on 2,000 held-out rows of the training set. The result is the accuracy on
//! `dev.*` after the last epoch, which no choice depends on.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use candle_core::Device;
use clap::Parser;
use dht_cli::report;
use dht_lab::record::this_machine;
use dht_lab::{README_END, README_START};
use dht_transformer::{
    AdamWSettings, BertConfig, DatasetReader, EncodedDataset, Encoder, Pooling, TextClassifier, TextTokenizer,
    TrainSettings, Trainer,
    data::{NamedDataset, Split},
    storage::write_atomically,
    train::metrics::{predict_all, score},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const RATES: [f64; 6] = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 4e-3];
const HELD_OUT: usize = 2000;

#[derive(Parser)]
struct Arguments {
    /// A Hugging Face directory
    encoder: PathBuf,
    /// A directory with train.* and dev.*
    data: PathBuf,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    #[arg(long, default_value_t = 3)]
    epochs: usize,
    /// Number of training rows [default: all]; may be given several times
    #[arg(long)]
    rows: Vec<usize>,
    /// File for the record
    #[arg(long)]
    out: Option<PathBuf>,
    /// Page with marker lines, into which the results are written
    #[arg(long)]
    page: Option<PathBuf>,
}

/// The initial weights of an encoder.
#[derive(Clone, Copy)]
enum Start {
    Random,
    LocalAttention,
    PreTrained,
}

impl Start {
    const ALL: [Self; 3] = [Self::Random, Self::LocalAttention, Self::PreTrained];

    fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::LocalAttention => "random, local attention",
            Self::PreTrained => "pre-trained",
        }
    }
}

impl Arguments {
    /// The record of `pretrain` about the encoder, for the page.
    fn history(&self) -> Outcome<Value> {
        let mut path = self.encoder.clone().into_os_string();
        path.push(".history.json");
        match std::fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(_) if self.page.is_none() => Ok(Value::Null),
            Err(source) => {
                Err(format!("{}: {source}; --page needs the record of the pre-training", path.display()).into())
            }
        }
    }

    /// Accuracy on `test` of a classifier trained on `train`.
    fn accuracy(
        &self,
        start: Start,
        rate: f64,
        seed: u64,
        train: &EncodedDataset,
        test: &EncodedDataset,
    ) -> Outcome<f64> {
        let (mut rng, classes) = (ChaCha8Rng::seed_from_u64(seed), train.labels.len());
        let mut config = BertConfig::from_file(self.encoder.join("config.json"))?;
        (config.hidden_dropout_prob, config.attention_probs_dropout_prob) = (0.1, 0.1);
        let encoder = match start {
            Start::Random => Encoder::random(&config, &Device::Cpu, &mut rng)?,
            Start::LocalAttention => Encoder::random_with_local_attention(&config, &Device::Cpu, &mut rng)?,
            Start::PreTrained => {
                let tensors = dht_transformer::pretrained::read_hugging_face(&self.encoder)?.tensors;
                Encoder::from_tensors(&config, &tensors, &Device::Cpu)?
            }
        };
        let mut model = TextClassifier::new(encoder, classes, Pooling::Mean, &mut rng)?;
        let optimizer = AdamWSettings { learning_rate: rate, ..AdamWSettings::default() };
        let settings =
            TrainSettings { epochs: self.epochs, seed, optimizer, keep_best: false, ..TrainSettings::default() };
        let nothing = EncodedDataset { samples: Vec::new(), ..test.clone() };
        let clock = Instant::now();
        Trainer::new(settings).fit(&mut model, train, &nothing, &mut ())?;
        let accuracy = score(test, &predict_all(&model, test, 64)?.labels)?.accuracy();
        report(&format!(
            "{} rows, {}, rate {rate:.0e}, seed {seed}: accuracy {accuracy:.4} on {} rows, {:.0} s",
            train.len(),
            start.name(),
            test.len(),
            clock.elapsed().as_secs_f64()
        ));
        Ok(accuracy)
    }

    /// The best rate of a start, and its results.
    fn side(
        &self,
        start: Start,
        train: &EncodedDataset,
        held_out: &EncodedDataset,
        dev: &EncodedDataset,
    ) -> Outcome<Value> {
        let mut best = (f64::NEG_INFINITY, RATES[0]);
        for rate in RATES {
            let accuracy = self.accuracy(start, rate, 0, train, held_out)?;
            best = if accuracy > best.0 { (accuracy, rate) } else { best };
        }
        let scores = (0..self.seeds)
            .map(|seed| self.accuracy(start, best.1, seed, train, dev))
            .collect::<Outcome<Vec<f64>>>()?;
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        Ok(json!({"rows": train.len(), "start": start.name(), "rate": best.1, "held_out": best.0, "accuracies": scores,
            "mean": mean}))
    }
}

fn main() -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    report(&format!("error: {error}"));
    ExitCode::FAILURE
}

fn run() -> Outcome {
    let arguments = Arguments::parse();
    // Errors that would otherwise show only after an hour of training.
    let history = arguments.history()?;
    arguments.page.as_deref().map_or(Ok(()), |page| around_results(page).map(drop))?;
    let tokenizer = TextTokenizer::from_dir(&arguments.encoder)?;
    let train =
        NamedDataset::reader_of_files(&arguments.data).read(DatasetReader::find(&arguments.data, Split::Train)?)?;
    if let Some(reading) = &train.reading {
        report(&format!("{}: {reading}", train.name));
    }
    let dev = DatasetReader::new().like(&train).read(DatasetReader::find(&arguments.data, Split::Dev)?)?;
    let longest = BertConfig::from_file(arguments.encoder.join("config.json"))?.longest_text().min(128);
    let (name, fraction) = (train.name.clone(), HELD_OUT as f64 / train.len() as f64);
    let (train, held_out) = train.split_validation(fraction, &mut ChaCha8Rng::seed_from_u64(0))?;
    let encode = |data| tokenizer.encode_all(data, longest);
    let (train, held_out, dev) = (encode(&train)?, encode(&held_out)?, encode(&dev)?);

    let mut record = json!({
        "data": name, "held_out_rows": held_out.len(), "test_rows": dev.len(), "epochs": arguments.epochs,
        "rates": RATES, "seeds": arguments.seeds, "machine": this_machine(&Device::Cpu), "pretraining": history,
    });
    let mut sides = Vec::new();
    let all = [train.len()];
    for rows in if arguments.rows.is_empty() { &all[..] } else { &arguments.rows } {
        let some = EncodedDataset { samples: train.samples.iter().take(*rows).cloned().collect(), ..train.clone() };
        for start in Start::ALL {
            let side = arguments.side(start, &some, &held_out, &dev)?;
            report(&side.to_string());
            sides.push(side);
        }
        // After each number of rows, so that a stopped run has written its results so far.
        record["sides"] = json!(sides);
        if let Some(out) = &arguments.out {
            write_atomically(out, |file| writeln!(file, "{record:#}"))?;
        }
        if let Some(page) = &arguments.page {
            write_page(page, &record)?;
        }
    }
    Ok(())
}

/// The page's text before and after the marker lines.
fn around_results(page: &Path) -> Outcome<[String; 2]> {
    let text = std::fs::read_to_string(page).map_err(|source| format!("{}: {source}", page.display()))?;
    let missing = || format!("{}: lacks the lines {README_START} and {README_END}", page.display());
    let (before, rest) = text.split_once(README_START).ok_or_else(missing)?;
    let (_, after) = rest.split_once(README_END).ok_or_else(missing)?;
    Ok([before.into(), after.into()])
}

/// Writes the results between the page's marker lines.
fn write_page(page: &Path, record: &Value) -> Outcome {
    let [before, after] = around_results(page)?;
    let (past, machine) = (&record["pretraining"], &record["machine"]);
    let losses = past["history"]["losses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let losses: Vec<f64> = losses.iter().filter_map(|pair| pair[1].as_f64()).collect();
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len().max(1) as f64;
    let many = losses.len().min(100);
    let mut results = format!(
        "Pre-training: {} subwords; {} blocks of {} tokens of {}, {} % of them masked; a {} encoder, {} epochs, {} steps \
         in {:.1} minutes (batches, backward and optimiser). Loss: {:.2} nats in the first {many} steps, {:.2} in the \
         last, {:.2} on blocks held out; guessing by frequency has {:.2}.\n\n\
         Fine-tuning: {}, {} epochs, {} seeds, accuracy on {} rows of the official development set; {}, {} cores.\n\n\
         | training rows | start | learning rate | accuracy of each seed | mean |\n|---:|---|---:|---|---:|\n",
        past["pieces"],
        past["blocks"],
        past["length"],
        past["text"],
        (100.0 * past["masks"]["chosen"].as_f64().unwrap_or_default()).round(),
        past["size"].as_str().unwrap_or("?"),
        past["settings"]["epochs"],
        past["history"]["steps"],
        past["history"]["train_seconds"].as_f64().unwrap_or_default() / 60.0,
        mean(&losses[..many]),
        mean(&losses[losses.len() - many..]),
        past["history"]["epochs"]
            .as_array()
            .and_then(|epochs| epochs.last()?["validation_score"].as_f64())
            .map_or(f64::NAN, |score| -score),
        past["loss_by_frequency"].as_f64().unwrap_or(f64::NAN),
        record["data"].as_str().unwrap_or("?"),
        record["epochs"],
        record["seeds"],
        record["test_rows"],
        machine["cpu"].as_str().unwrap_or("?"),
        machine["cores"],
    );
    for side in record["sides"].as_array().into_iter().flatten() {
        let scores: Vec<f64> = side["accuracies"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        let each = scores.iter().map(|score| format!("{score:.3}")).collect::<Vec<_>>().join(", ");
        let start = side["start"].as_str().unwrap_or("?");
        results += &format!("| {} | {start} | {} | {each} | {:.3} |\n", side["rows"], side["rate"], mean(&scores));
    }
    let versions: Vec<String> = machine["versions"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or("?")))
        .collect();
    results += &format!("\nVersions: {}.\n", versions.join(", "));
    Ok(write_atomically(page, |file| write!(file, "{before}{README_START}\n{results}{README_END}{after}"))?)
}
