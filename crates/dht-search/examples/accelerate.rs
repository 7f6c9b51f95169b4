//! Accelerates a fine-tuned classifier: exits and an n-gram model on it as it is, and what each speed costs and gets.
//!
//! `cargo run --release -p dht-search --example accelerate -- CLASSIFIER DATA [TRAIN_ROWS] [OUT]`, where CLASSIFIER is a Hugging Face
//! directory of a fine-tuned sequence classifier (from `transformers`, too), and DATA has `train.csv` and `test.csv` (or
//! `dev.tsv`, …) with its labels. The first TRAIN_ROWS rows should be those that it was fine-tuned on; the tenth of them after these
//! are held out. The accelerated model is written to OUT.

use std::path::PathBuf;
use std::time::Instant;

use candle_core::Device;
use dht_search::accelerate::{AccelerateSettings, accelerate};
use dht_search::baselines::NgramSettings;
use dht_search::evaluation::exit_log_probabilities;
use dht_search::transformer::{
    DatasetReader, EncodedDataset, ForwardContext, TextClassifier, TextTokenizer,
    data::{Split, longest_first},
    tensors::log_softmax,
};
use dht_search::{Error, evaluate};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MAX_LENGTH: usize = 64;
/// The n-gram model reads so many more tokens.
const REST: usize = 4096;
const BATCH: usize = 64;
/// Shares of the classifier's FLOPs.
const COSTS: [f64; 6] = [0.05, 0.1, 0.15, 0.25, 0.35, 0.5];

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(folder), Some(data)) = (arguments.first(), arguments.get(1).map(PathBuf::from)) else {
        println!("skipped: CLASSIFIER and DATA are missing");
        return Ok(());
    };
    let rows: usize = arguments.get(2).and_then(|rows| rows.parse().ok()).unwrap_or(usize::MAX);
    let tokenizer = TextTokenizer::from_dir(folder)?.with_rest(REST);
    let classifier = TextClassifier::load(folder, &Device::Cpu)?;

    let mut texts = DatasetReader::new().read(DatasetReader::find(&data, Split::Train)?)?;
    let rows = rows.min(texts.len() * 9 / 10);
    let mut held_out = texts.clone().take(rows + rows.div_ceil(9));
    held_out.examples.drain(..rows);
    texts = texts.take(rows);
    let test = DatasetReader::find(&data, Split::Test).or_else(|_| DatasetReader::find(&data, Split::Dev))?;
    let test = DatasetReader::new().like(&texts).read(test)?;
    let encode = |data| tokenizer.encode_all(data, MAX_LENGTH);
    let (texts, held_out, test) = (encode(&texts)?, encode(&held_out)?, encode(&test)?);
    println!("{} texts, {} held out, {} test texts", texts.len(), held_out.len(), test.len());

    let ngram = NgramSettings { left_out: tokenizer.tokens_around()?, ..NgramSettings::default() };
    let settings = AccelerateSettings { ngram: Some(ngram), batch_size: BATCH, ..AccelerateSettings::default() };
    let start = Instant::now();
    let made = accelerate(&classifier, &texts, Some(&held_out), &settings, &mut ChaCha8Rng::seed_from_u64(1))?;
    let (model, report) = (made.model, made.report);
    println!(
        "accelerated in {:.0} s: states {:.0} s, exits {:.0} s, side layers {:.0} s",
        start.elapsed().as_secs_f64(),
        report.seconds_of_states,
        report.seconds_of_exits,
        report.seconds_of_side
    );
    println!("\nstage    alone  stacked  calibration error, on held-out texts");
    for stage in &report.stages {
        let name = if stage.depth == 0 { "n-grams".into() } else { format!("layer {}", stage.depth) };
        println!("{name:<8} {:.3}    {:.3}  {:.3}", stage.accuracy, stage.stacked_accuracy, stage.calibration_error);
    }

    let own = evaluate(&classifier, &test, BATCH)?;
    let same =
        same_bits(&classifier, &exit_log_probabilities(model.model(), &test, BATCH)?.pop().unwrap_or_default(), &test)?;
    println!("\nThe last exit gives the classifier's bits on every test text: {same}");
    println!("\nat most  FLOPs  accuracy  macro F1  of the test texts");
    let row = |name: &str, ratio: f64, accuracy: f64, macro_f1: f64| {
        println!("{name:<8} {ratio:.3}     {accuracy:.3}     {macro_f1:.3}");
    };
    row("full", 1.0, own.confusion.accuracy(), own.confusion.macro_f1());
    let full = model.full_inference_flops(&test)? as f64;
    for cost in COSTS {
        let Some(point) = report.within(cost) else { continue };
        let found = evaluate(&model.with_speed(point.speed)?, &test, BATCH)?;
        row(&cost.to_string(), found.flops as f64 / full, found.confusion.accuracy(), found.confusion.macro_f1());
    }
    if let Some(out) = arguments.get(3) {
        model.save(out, Some(&tokenizer), &texts.labels)?;
        println!("\nwritten to {out}");
    }
    Ok(())
}

/// Whether these are the classifier's log-probabilities, to the bit.
fn same_bits(classifier: &TextClassifier, found: &[Vec<f32>], data: &EncodedDataset) -> Result<bool, Error> {
    let ctx = ForwardContext::inference();
    for rows in longest_first(&data.lengths(), BATCH)? {
        let own: Vec<Vec<f32>> = log_softmax(&classifier.logits(&data.batch(&rows)?, &ctx)?)?
            .to_vec2()
            .map_err(dht_search::transformer::Error::from)?;
        let bits = |row: &[f32]| row.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        if rows.iter().zip(&own).any(|(row, own)| bits(&found[*row]) != bits(own)) {
            return Ok(false);
        }
    }
    Ok(true)
}
