//! Fits the n-gram classifier on a directory of labelled texts, alone and with the encoder's input embeddings, and
//! prints the accuracy and cost of both.
//!
//! `cargo run --release -p dht-dynamic --example ngram -- DATA MODEL [TRAIN_ROWS [SEED [RECORD]]]`, where DATA has
//! `train.csv` and `test.csv` (or `dev.tsv`, …) and MODEL is a Hugging Face directory: its tokenizer and embeddings are
//! used, and its encoder is the full model of FLOPs ratios. A line of JSON is appended to RECORD;
//! `scripts/exit-zero-table` writes the table of such lines.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use candle_core::Device;
use dht_dynamic::FullModel;
use dht_dynamic::exit::{NgramClassifier, NgramSettings};
use dht_dynamic::transformer::{
    DatasetReader, EncodedDataset, Encoder, Pooling, TextClassifier, TextTokenizer,
    data::{NamedDataset, Split},
};
use dht_dynamic::{Error, Predictor, evaluate};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Number of tokens that an encoder would read. The n-gram classifier also reads the tokens after them.
const MAX_LENGTH: usize = 64;
/// Maximum number of further tokens that the n-gram classifier reads.
const REST: usize = 4096;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(data), Some(model)) = (arguments.first().map(PathBuf::from), arguments.get(1)) else {
        println!("skipped: DATA and MODEL are missing");
        return Ok(());
    };
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
    let (rows, seed) = (number(2).map_or(usize::MAX, |rows| rows as usize), number(3).unwrap_or(1));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let reader = NamedDataset::reader_of_files(&data);
    let training = reader.clone().read(DatasetReader::find(&data, Split::Train)?)?;
    let test = DatasetReader::find(&data, Split::Test).or_else(|_| DatasetReader::find(&data, Split::Dev))?;
    let test = reader.like(&training).read(test)?;

    let tokenizer = TextTokenizer::from_dir(model)?.with_rest(REST);
    let training = tokenizer.encode_all(&training.sample(rows, &mut rng), MAX_LENGTH)?;
    let test = tokenizer.encode_all(&test, MAX_LENGTH)?;
    let classes = training.labels.len();
    println!("{} training and {} test rows of {classes} classes", training.len(), test.len());

    let full = TextClassifier::from_pretrained(model, classes, Pooling::Mean, &Device::Cpu, &mut rng)?;
    let settings = NgramSettings { left_out: tokenizer.tokens_around()?, ..NgramSettings::default() };
    let of = |encoder: Option<&Encoder>| -> Result<serde_json::Value, Error> {
        let start = Instant::now();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let fit = NgramClassifier::fit(&training, &settings, FullModel::new(&full), encoder, &mut rng)?;
        let seconds = start.elapsed().as_secs_f64();
        let found = evaluate(&fit.classifier, &test, 256)?;
        let loss = found.losses.iter().sum::<f64>() / found.losses.len().max(1) as f64;
        let of_full: u64 = test.lengths().into_iter().map(|tokens| fit.classifier.full_flops(tokens)).sum();
        Ok(json!({
            "ngrams": fit.classifier.ngrams(),
            "c": fit.c,
            "losses": fit.losses,
            "fit_seconds": seconds,
            "fit_flops": fit.flops,
            "out_of_fold_accuracy": fit.out_of_fold.accuracy(&labels(&training)),
            "accuracy": found.confusion.accuracy(),
            "macro_f1": found.confusion.macro_f1(),
            "loss": loss,
            "milliseconds_per_text": 1e3 * found.seconds / test.len() as f64,
            "flops_per_text": found.flops / test.len() as u64,
            "flops_ratio": found.flops as f64 / of_full as f64,
        }))
    };
    let (ngrams, both) = (of(None)?, of(Some(full.encoder()))?);
    println!("n-grams: {ngrams:#}\nn-grams and mean embedding: {both:#}");
    if let Some(record) = arguments.get(4) {
        let name = data.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let line = json!({
            "data": name, "rows": training.len(), "test_rows": test.len(), "classes": classes, "seed": seed,
            "ngrams": ngrams, "with_embeddings": both,
        });
        writeln!(std::fs::OpenOptions::new().append(true).create(true).open(record)?, "{line}")?;
    }
    Ok(())
}

fn labels(data: &EncodedDataset) -> Vec<u32> {
    data.samples.iter().map(|sample| sample.label).collect()
}
