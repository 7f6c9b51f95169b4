//! Counts how often a promise about the loss by early exits is kept, in random draws of the held-out texts.
//!
//! A model answers all labelled texts once. The first texts give the thresholds. In each draw, some of the other texts
//! are held out: the cheapest threshold that keeps the promise on them is selected, and its loss is measured on the
//! remaining texts. The loss is the score of all layers minus the score with early exits; the score is accuracy, or the
//! mean F1 of a text's labels, which apply from a probability of one half on.
//!
//! `cargo run --release --example promises -- MODEL TEXTS [--held-out 600,1000] [--points 1,2]` prints JSON. TEXTS is a
//! file that the model was not trained on, with the columns or members `text` and `label` (or `labels`).

use std::path::PathBuf;
use std::process::ExitCode;

use candle_core::Device;
use clap::Parser;
use dht_cli::report;
use dht_dynamic::Error;
use dht_dynamic::evaluation::{Calibration, Guarantee, Promise, Risk, Stages};
use dht_dynamic::serving::{ServedModel, TextModel};
use dht_transformer::data::LabelKind;
use dht_transformer::{DatasetReader, Task};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

/// Number of texts in a batch of a scoring pass.
const BATCH: usize = 64;
/// Number of texts that give the thresholds, and maximum number of thresholds.
const FOR_THRESHOLDS: usize = 300;
const POINTS: usize = 200;

#[derive(Debug, Parser)]
#[command(about = "How often a promise about the loss by early exits is kept")]
struct Flags {
    /// Directory of a model with early exits
    model: PathBuf,
    /// Labelled texts
    texts: PathBuf,
    /// Numbers of held-out texts
    #[arg(long, value_delimiter = ',', default_value = "600,1000")]
    held_out: Vec<usize>,
    /// Limits of the loss, in percentage points
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    points: Vec<f64>,
    /// Number of draws
    #[arg(long, default_value_t = 200)]
    draws: usize,
    /// Probability with which the limit must hold
    #[arg(long, default_value_t = 0.95)]
    confidence: f64,
    /// Character between the labels of a text
    #[arg(long, default_value_t = '|')]
    separator: char,
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), Box<dyn std::error::Error>> {
    let model = TextModel::load(&flags.model, &Device::Cpu)?;
    let ServedModel::Dynamic(dynamic) = &model.model else { return Err("the model has no early exits".into()) };
    let kind = match model.task() {
        Task::Class => LabelKind::Class,
        Task::Labels => LabelKind::Several { separator: flags.separator },
        Task::Number => return Err("promises are about classes and labels, not about numbers".into()),
    };
    let reader = DatasetReader::new().with_labels(model.labels.iter().cloned()).with_label_kind(kind);
    let texts = model.tokenizer.encode_all(&reader.read(&flags.texts)?, model.max_length)?;
    if texts.len() <= FOR_THRESHOLDS {
        return Err(format!("{} texts, expected more than {FOR_THRESHOLDS}", texts.len()).into());
    }
    if !dynamic.seen_texts().rows_of(&texts).is_empty() {
        return Err("the model was trained on some of the texts".into());
    }
    let full = dynamic.model().exit_log_probabilities(&texts, BATCH)?.last().ok_or("no exits")?.labels();
    let truth: Vec<u32> = match model.task() {
        Task::Labels => texts.samples.iter().flat_map(|sample| sample.targets.iter().map(|on| *on as u32)).collect(),
        _ => texts.samples.iter().map(|sample| sample.label).collect(),
    };
    let stages = Stages::of_model(dynamic, &texts, BATCH)?;
    let of_text = truth.len() / texts.len();
    let select = |values: &[u32], rows: &[usize]| -> Vec<u32> {
        rows.iter().flat_map(|row| values[row * of_text..][..of_text].to_vec()).collect()
    };
    let thresholds = stages.select(&(0..FOR_THRESHOLDS).collect::<Vec<usize>>()).thresholds(POINTS);
    let mut rows: Vec<usize> = (FOR_THRESHOLDS..texts.len()).collect();
    let mut results = Vec::new();
    for &held_out in &flags.held_out {
        if held_out >= rows.len() {
            return Err(format!("{held_out} held-out texts leave none of {} to measure the loss on", rows.len()).into());
        }
        for &points in &flags.points {
            let guarantee = Guarantee::Confidence(flags.confidence);
            let promise = Promise { risk: Risk::AccuracyLoss, most: points / 100.0, guarantee };
            let (mut given, mut broken, mut costs, mut losses) = (0, 0, 0.0, 0.0);
            for draw in 0..flags.draws {
                rows.sort_unstable();
                rows.shuffle(&mut ChaCha8Rng::seed_from_u64(draw as u64));
                let (held, others) = rows.split_at(held_out);
                let control = |rows: &[usize], promise: Promise, thresholds: &[f64]| {
                    let (stages, full, labels) = (stages.select(rows), select(&full, rows), select(&truth, rows));
                    let labels = Some(&labels[..]);
                    promise.control(Calibration { stages: &stages, full: &full, labels }, thresholds)
                };
                // Without a threshold that keeps the promise, nothing is promised.
                let promised = match control(held, promise, &thresholds) {
                    Err(Error::Promise { .. }) => continue,
                    other => other?,
                };
                // A limit that always holds: its result has the loss on the other texts.
                let any = Promise { most: 0.999, guarantee: Guarantee::StandardErrors(0.0), ..promise };
                let measured = control(others, any, &[promised.threshold])?;
                let all_layers: u64 = stages.select(others).at(0.0).flops;
                given += 1;
                broken += usize::from(measured.observed > promise.most);
                costs += measured.flops as f64 / all_layers as f64;
                losses += measured.observed;
            }
            let mean = |sum: f64| (given > 0).then(|| sum / given as f64);
            results.push(json!({ "held_out": held_out, "points": points, "draws": flags.draws, "given": given,
                "broken": broken, "mean_cost": mean(costs), "mean_loss_points": mean(100.0 * losses) }));
        }
    }
    println!("{:#}", json!({ "texts": texts.len(), "confidence": flags.confidence, "results": results }));
    Ok(())
}
