//! Accelerates a fine-tuned classifier: exits and an n-gram model on it as it is, and what each speed costs and gets.
//!
//! `cargo run --release -p dht-dynamic --example accelerate -- CLASSIFIER DATA [TRAIN_ROWS] [OUT]`, where CLASSIFIER is a Hugging Face
//! directory of a fine-tuned sequence classifier (from `transformers`, too), and DATA has `train.csv` and `test.csv` (or
//! `dev.tsv`, …) with its labels. The first TRAIN_ROWS rows should be those that it was fine-tuned on; the tenth of them after these
//! are held out. The accelerated model is written to OUT. The clock takes some test rows, evenly spaced, in batches and one by one.

use std::path::PathBuf;
use std::time::Instant;

use candle_core::Device;
use dht_dynamic::accelerate::{AccelerateSettings, Texts, accelerate};
use dht_dynamic::evaluation::{exit_log_probabilities, time_in_turns};
use dht_dynamic::exit::NgramSettings;
use dht_dynamic::transformer::{
    DatasetReader, EncodedDataset, ForwardContext, TextClassifier, TextTokenizer,
    data::{Split, longest_first},
    tensors::log_softmax,
};
use dht_dynamic::{DynamicModel, Error, Evaluation, Predictor, evaluate};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MAX_LENGTH: usize = 64;
/// The n-gram model reads so many more tokens.
const REST: usize = 4096;
const BATCH: usize = 64;
/// Test rows that the clock takes, in batches of these sizes, and its passes.
const TIMED: usize = 256;
const TIMED_BATCHES: [usize; 2] = [32, 1];
const PASSES: usize = 3;
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
    let made = accelerate(
        &classifier,
        Texts::new(&texts).with_held_out(&held_out),
        &settings,
        &mut ChaCha8Rng::seed_from_u64(1),
    )?;
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
    let points: Vec<(f64, DynamicModel)> = COSTS
        .into_iter()
        .filter_map(|cost| Some((cost, report.within(cost)?.speed)))
        .map(|(cost, speed)| Ok((cost, model.with_speed(speed)?)))
        .collect::<Result<_, Error>>()?;
    let models: Vec<&dyn Predictor> = std::iter::once(&classifier as &dyn Predictor)
        .chain(points.iter().map(|(_, model)| model as &dyn Predictor))
        .collect();
    let timed = evenly_spaced(&test, TIMED);
    let mut clocks = Vec::new();
    for batch in TIMED_BATCHES {
        let times = time_in_turns(&models, &timed, batch, PASSES)?;
        clocks.push(times.iter().map(|time| time.median() / times[0].median()).collect::<Vec<f64>>());
    }
    println!("\n         FLOPs  FLOPs of     clock of these in   accuracy  macro F1");
    println!("at most         timed rows  batches  one by one  of all {} test texts", test.len());
    let full = model.full_inference_flops(&test) as f64;
    let full_timed = model.full_inference_flops(&timed) as f64;
    let row = |name: &str, found: &Evaluation, timed: u64, at: usize| {
        println!(
            "{name:<8} {:.3}  {:.3}       {:.3}    {:.3}       {:.4}    {:.4}",
            found.flops as f64 / full,
            timed as f64 / full_timed,
            clocks[0][at],
            clocks[1][at],
            found.confusion.accuracy(),
            found.confusion.macro_f1()
        );
    };
    row("full", &own, evaluate(&classifier, &timed, BATCH)?.flops, 0);
    for (at, (cost, model)) in points.iter().enumerate() {
        let of_timed = evaluate(model, &timed, BATCH)?.flops;
        row(&cost.to_string(), &evaluate(model, &test, BATCH)?, of_timed, at + 1);
    }
    if let Some(out) = arguments.get(3) {
        model.save(out, Some(&tokenizer), &texts.labels)?;
        println!("\nwritten to {out}");
    }
    Ok(())
}

/// So many rows from all over some texts.
fn evenly_spaced(data: &EncodedDataset, count: usize) -> EncodedDataset {
    let count = count.min(data.len());
    let samples = (0..count).map(|at| data.samples[at * data.len() / count].clone()).collect();
    EncodedDataset { samples, ..data.clone() }
}

/// Whether these are the classifier's log-probabilities, to the bit.
fn same_bits(classifier: &TextClassifier, found: &[Vec<f32>], data: &EncodedDataset) -> Result<bool, Error> {
    let ctx = ForwardContext::inference();
    for rows in longest_first(&data.lengths(), BATCH)? {
        let own: Vec<Vec<f32>> = log_softmax(&classifier.logits(&data.batch(&rows)?, &ctx)?)?
            .to_vec2()
            .map_err(dht_dynamic::transformer::Error::from)?;
        let bits = |row: &[f32]| row.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        if rows.iter().zip(&own).any(|(row, own)| bits(&found[*row]) != bits(own)) {
            return Ok(false);
        }
    }
    Ok(true)
}
