//! Is pre-training worth it? The same encoder is fine-tuned from a directory and from random weights.
//!
//! ```text
//! cargo run --release --example pretrained_or_random -- ENCODER DATA [--seeds 3] [--epochs 2] [--rows N] \
//!     [--out RECORD.json] [--page docs/pretraining.md]
//! ```
//!
//! ENCODER is a Hugging Face directory with a tokenizer, such as `pretrain` of `dht-transformer` writes; DATA a directory
//! with `train.*` and `dev.*`. Both sides have the same shape, rows, seeds and settings, but for the learning rate: each
//! has the one of three that does best on 2,000 rows held out of the training set, at seed 0. What is told is accuracy on
//! `dev.*` after the last epoch, which no choice has seen.

use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::Device;
use clap::Parser;
use dht_lab::{README_END, README_START, this_machine};
use dht_transformer::{
    AdamWSettings, BertConfig, DatasetReader, EncodedDataset, Encoder, Pooling, Split, TextClassifier, TextTokenizer,
    TrainSettings, Trainer, predict_all, score, write_atomically,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const RATES: [f64; 3] = [2e-4, 5e-4, 1e-3];
const HELD_OUT: usize = 2000;

#[derive(Parser)]
struct Arguments {
    /// A Hugging Face directory
    encoder: PathBuf,
    /// A directory with train.* and dev.*
    data: PathBuf,
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    #[arg(long, default_value_t = 2)]
    epochs: usize,
    /// Training rows, all unless given
    #[arg(long, default_value_t = usize::MAX)]
    rows: usize,
    /// Where to write the record
    #[arg(long)]
    out: Option<PathBuf>,
    /// A page with marker lines to write the figures into
    #[arg(long)]
    page: Option<PathBuf>,
}

impl Arguments {
    /// Accuracy on `test` of a classifier trained on `train`.
    fn accuracy(
        &self,
        pretrained: bool,
        rate: f64,
        seed: u64,
        train: &EncodedDataset,
        test: &EncodedDataset,
    ) -> Outcome<f64> {
        let (mut rng, classes) = (ChaCha8Rng::seed_from_u64(seed), train.labels.len());
        let mut config = BertConfig::from_file(self.encoder.join("config.json"))?;
        (config.hidden_dropout_prob, config.attention_probs_dropout_prob) = (0.1, 0.1);
        let encoder = if pretrained {
            let tensors = dht_transformer::read_hugging_face(&self.encoder)?.tensors;
            Encoder::from_tensors(&config, &tensors, &Device::Cpu)?
        } else {
            Encoder::random(&config, &Device::Cpu, &mut rng)?
        };
        let mut model = TextClassifier::new(encoder, classes, Pooling::Mean, &mut rng)?;
        let optimizer = AdamWSettings { learning_rate: rate, ..AdamWSettings::default() };
        let settings =
            TrainSettings { epochs: self.epochs, seed, optimizer, keep_best: false, ..TrainSettings::default() };
        let nothing = EncodedDataset { samples: Vec::new(), ..test.clone() };
        let start = Instant::now();
        Trainer::new(settings).fit(&mut model, train, &nothing, &mut ())?;
        let accuracy = score(test, &predict_all(&model, test, 64)?.labels)?.accuracy();
        let (side, seconds) = (if pretrained { "pre-trained" } else { "random" }, start.elapsed().as_secs_f64());
        println!(
            "{side:11} rate {rate:.0e} seed {seed}: accuracy {accuracy:.4} on {} rows, {seconds:.0} s",
            test.len()
        );
        Ok(accuracy)
    }
}

fn main() -> Outcome {
    let arguments = Arguments::parse();
    let tokenizer = TextTokenizer::from_dir(&arguments.encoder)?;
    let train = DatasetReader::new().read(DatasetReader::find(&arguments.data, Split::Train)?)?.take(arguments.rows);
    let dev = DatasetReader::new().like(&train).read(DatasetReader::find(&arguments.data, Split::Dev)?)?;
    let longest = BertConfig::from_file(arguments.encoder.join("config.json"))?.longest_text().min(128);
    let (name, fraction) = (train.name.clone(), HELD_OUT as f64 / train.len() as f64);
    let (rest, held_out) = train.clone().split_validation(fraction, &mut ChaCha8Rng::seed_from_u64(0))?;
    let encode = |data| tokenizer.encode_all(data, longest);
    let (train, dev, rest, held_out) = (encode(&train)?, encode(&dev)?, encode(&rest)?, encode(&held_out)?);

    let mut sides = Vec::new();
    for pretrained in [false, true] {
        let mut best = (f64::NEG_INFINITY, RATES[0]);
        for rate in RATES {
            let accuracy = arguments.accuracy(pretrained, rate, 0, &rest, &held_out)?;
            best = if accuracy > best.0 { (accuracy, rate) } else { best };
        }
        let scores = (0..arguments.seeds)
            .map(|seed| arguments.accuracy(pretrained, best.1, seed, &train, &dev))
            .collect::<Outcome<Vec<f64>>>()?;
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        println!(
            "{} mean accuracy {mean:.4} at rate {:.0e}",
            if pretrained { "pre-trained" } else { "random" },
            best.1
        );
        sides.push(json!({"pretrained": pretrained, "rate": best.1, "accuracies": scores, "mean": mean}));
    }
    let [random, pretrained] = [0, 1].map(|side| sides[side]["mean"].as_f64().unwrap_or_default());
    println!("pre-training is worth {:+.1} points", 100.0 * (pretrained - random));
    let history = std::fs::read(arguments.encoder.with_extension("history.json"))
        .map_or(Ok(Value::Null), |bytes| serde_json::from_slice(&bytes))?;
    let record = json!({
        "data": name, "training_rows": train.len(), "test_rows": dev.len(), "epochs": arguments.epochs,
        "seeds": arguments.seeds, "sides": sides, "machine": this_machine(&Device::Cpu), "pretraining": history,
    });
    if let Some(out) = &arguments.out {
        write_atomically(out, |file| writeln!(file, "{record:#}"))?;
    }
    if let Some(page) = &arguments.page {
        write_page(page, &record)?;
    }
    Ok(())
}

/// Puts the figures between the page's marker lines.
fn write_page(page: &Path, record: &Value) -> Outcome {
    let text = std::fs::read_to_string(page)?;
    let missing = || format!("{}: lacks the lines {README_START} and {README_END}", page.display());
    let (before, rest) = text.split_once(README_START).ok_or_else(missing)?;
    let (_, after) = rest.split_once(README_END).ok_or_else(missing)?;
    let (past, machine) = (&record["pretraining"], &record["machine"]);
    let losses = past["history"]["losses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let losses: Vec<f64> = losses.iter().filter_map(|pair| pair[1].as_f64()).collect();
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len().max(1) as f64;
    let many = losses.len().min(100);
    let mut figures = format!(
        "Pre-training: {} blocks of {} tokens of {}, a {} encoder, {} steps in {:.1} minutes (batches, backward and \
         optimiser); loss {:.2} nats in the first {many} steps, {:.2} in the last.\n\n\
         Fine-tuning: {}, {} training rows, {} epochs, accuracy on {} rows of the official development set, {} seeds; {}, \
         {} cores.\n\n| start | learning rate | accuracy of each seed | mean |\n|---|---:|---|---:|\n",
        past["blocks"],
        past["length"],
        past["text"],
        past["size"].as_str().unwrap_or("?"),
        past["history"]["steps"],
        past["history"]["train_seconds"].as_f64().unwrap_or_default() / 60.0,
        mean(&losses[..many]),
        mean(&losses[losses.len() - many..]),
        record["data"].as_str().unwrap_or("?"),
        record["training_rows"],
        record["epochs"],
        record["test_rows"],
        record["seeds"],
        machine["cpu"].as_str().unwrap_or("?"),
        machine["cores"],
    );
    for side in record["sides"].as_array().into_iter().flatten() {
        let start = if side["pretrained"] == true { "pre-trained" } else { "random" };
        let scores: Vec<f64> = side["accuracies"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        let each = scores.iter().map(|score| format!("{score:.3}")).collect::<Vec<_>>().join(", ");
        figures += &format!("| {start} | {} | {each} | {:.3} |\n", side["rate"], mean(&scores));
    }
    let versions: Vec<String> = machine["versions"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or("?")))
        .collect();
    figures += &format!("\nVersions: {}.\n", versions.join(", "));
    Ok(write_atomically(page, |file| write!(file, "{before}{README_START}\n{figures}{README_END}{after}"))?)
}
