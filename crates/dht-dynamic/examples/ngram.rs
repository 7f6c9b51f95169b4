//! Fits the n-gram classifier on a directory of labelled texts, and prints what it gets and costs.
//!
//! `cargo run --release -p dht-dynamic --example ngram -- DATA MODEL [TRAIN_ROWS]`, where DATA has `train.csv` and `test.csv`
//! (or `dev.tsv`, …) and MODEL is a Hugging Face directory: its tokenizer is used, and its encoder is the full model of
//! FLOPs ratios.

use std::path::PathBuf;
use std::time::Instant;

use candle_core::Device;
use dht_dynamic::FullModel;
use dht_dynamic::exit::{NgramClassifier, NgramSettings};
use dht_dynamic::transformer::{DatasetReader, EncodedDataset, Pooling, TextClassifier, TextTokenizer, data::Split};
use dht_dynamic::{Error, Predictor, evaluate};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An encoder would read so many tokens; the classifier reads the others too.
const MAX_LENGTH: usize = 64;
/// So many more.
const REST: usize = 4096;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(data), Some(model)) = (arguments.first().map(PathBuf::from), arguments.get(1)) else {
        println!("skipped: DATA and MODEL are missing");
        return Ok(());
    };
    let rows = arguments.get(2).and_then(|rows| rows.parse().ok()).unwrap_or(usize::MAX);
    let training = DatasetReader::new().read(DatasetReader::find(&data, Split::Train)?)?;
    let test = DatasetReader::find(&data, Split::Test).or_else(|_| DatasetReader::find(&data, Split::Dev))?;
    let test = DatasetReader::new().like(&training).read(test)?;

    let start = Instant::now();
    let tokenizer = TextTokenizer::from_dir(model)?.with_rest(REST);
    let (training, test) =
        (tokenizer.encode_all(&training.take(rows), MAX_LENGTH)?, tokenizer.encode_all(&test, MAX_LENGTH)?);
    println!("{} training and {} test rows, encoded in {:.1} s", training.len(), test.len(), seconds(start));

    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let classes = training.labels.len();
    let full = TextClassifier::from_pretrained(model, classes, Pooling::Mean, &Device::Cpu, &mut rng)?;
    let settings = NgramSettings { left_out: tokenizer.tokens_around()?, ..NgramSettings::default() };
    let start = Instant::now();
    let fit = NgramClassifier::fit(&training, &settings, FullModel::new(&full), &mut rng)?;
    println!("{} n-grams, fitted in {:.1} s, C = {}", fit.classifier.ngrams(), seconds(start), fit.c);
    let labels = |data: &EncodedDataset| -> Vec<u32> { data.samples.iter().map(|sample| sample.label).collect() };
    for (c, loss) in &fit.losses {
        println!("  C = {c}: out-of-fold loss {loss:.4}");
    }
    println!("out-of-fold accuracy {:.4}", fit.out_of_fold.accuracy(&labels(&training)));

    let found = evaluate(&fit.classifier, &test, 256)?;
    let full: u64 = test.lengths().into_iter().map(|tokens| fit.classifier.full_flops(tokens)).sum();
    let loss = found.losses.iter().sum::<f64>() / found.losses.len().max(1) as f64;
    println!(
        "test accuracy {:.4}, macro F1 {:.4}, loss {loss:.4}",
        found.confusion.accuracy(),
        found.confusion.macro_f1()
    );
    let ratio = found.flops as f64 / full as f64;
    println!(
        "{:.1} kFLOPs a text, {ratio:.1e} of the full model's; {:.2} s",
        found.flops as f64 / 1e3 / test.len() as f64,
        found.seconds
    );
    Ok(())
}

fn seconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64()
}
