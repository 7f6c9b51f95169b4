//! Compares ways to train a dynamic classifier on one data set, such as in rungs, or each rung separately.
//!
//! `cargo run --release --example training_ladder -- --data DIR --model DIR --out RECORD.json`. Each row is written when
//! it is measured; the same command continues with the rows that are missing.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use cpu_time::ProcessTime;
use dht_cli::report;
use dht_dynamic::accelerate::{AccelerateSettings, Texts, accelerate};
use dht_dynamic::exit::NgramSettings;
use dht_dynamic::ladder::{LadderEvent, LadderReport, LadderSettings, LadderTexts, Rung, UnlessStill, climb};
use dht_dynamic::{DynamicModel, evaluate};
use dht_lab::record::{Machine, this_machine};
use dht_lab::{Arguments, RunData, RunPlan};
use dht_transformer::flops::Load;
use dht_transformer::storage::write_atomically;
use dht_transformer::tasks::FineTuning;
use dht_transformer::{AdamWSettings, Pooling, TextClassifier, TrainSettings, Trainer};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Number of texts in a batch of a scoring pass.
const BATCH: usize = 64;
/// Maximum number of passes of the reference, which stops after `PATIENCE` passes without a better validation score.
const MOST_PASSES: usize = 10;
const PATIENCE: usize = 2;

#[derive(Debug, Parser)]
#[command(about = "Compares ways to train a dynamic classifier on one data set")]
struct Flags {
    #[command(flatten)]
    run: Arguments,
    /// Write the record to this file
    #[arg(long)]
    out: PathBuf,
    /// Train only these ways
    #[arg(long, value_delimiter = ',', default_value = "rungs,rung0,rung1,rung2,once,reference")]
    ways: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    data: String,
    model: String,
    train_rows: usize,
    validation_rows: usize,
    test_rows: usize,
    classes: usize,
    machine: Machine,
    rows: Vec<Row>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    way: String,
    seed: u64,
    learning_rate: f64,
    /// Accuracy on the test rows: at the default speed, and of all layers.
    accuracy: f64,
    all_layers: f64,
    /// FLOPs of inference at the default speed, as a share of the full model's.
    inference: f64,
    /// FLOPs of the training run, in passes of fine-tuning.
    cost: f64,
    /// Minutes of the processor, summed over its cores; 0 in older records.
    #[serde(default)]
    cpu_minutes: f64,
    /// Rung of the final model, and the reason for stopping there.
    rung: Option<String>,
    stop: Option<String>,
    passes: f64,
    /// Test rows that are answered correctly at the default speed, as a bit string.
    right: String,
    /// Cost, validation loss and accuracy at each measurement.
    path: Vec<(f64, f64, Option<f64>)>,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<dht_lab::Error>() => {
            let error = error.downcast::<dht_lab::Error>();
            error.map_or(ExitCode::FAILURE, |error| dht_lab::exit_code(Err(*error)))
        }
        Err(error) => {
            report(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), Failure> {
    let plan = RunPlan::try_from(flags.run.clone())?;
    let data = RunData::load(&plan)?;
    let device = plan.device.open()?;
    let mut record = match std::fs::read(&flags.out) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(_) => Record {
            data: data.record.name.clone(),
            model: PathBuf::from(flags.run.model.to_string())
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            train_rows: data.train.len(),
            validation_rows: data.validation.len(),
            test_rows: data.test.len(),
            classes: data.train.labels.len(),
            machine: this_machine(&device),
            rows: Vec::new(),
        },
    };
    if !plan.pretrained() {
        return Err("--model: expected a directory of a pre-trained encoder".into());
    }
    let folder = PathBuf::from(flags.run.model.to_string());
    for way in &flags.ways {
        let known = record
            .rows
            .iter()
            .any(|row| row.way == *way && row.seed == plan.seed && row.learning_rate == plan.learning_rate);
        if known {
            continue;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        let classes = data.train.labels.len();
        let classifier = TextClassifier::from_pretrained(&folder, classes, Pooling::Mean, &device, &mut rng)?;
        let ngram = NgramSettings { left_out: data.tokenizer.tokens_around()?, ..NgramSettings::default() };
        let exits = AccelerateSettings { ngram: Some(ngram), batch_size: BATCH, ..AccelerateSettings::default() };
        let optimizer = AdamWSettings { learning_rate: plan.learning_rate, ..AdamWSettings::default() };
        let tuning = TrainSettings { seed: plan.seed, batch_size: plan.batch, optimizer, ..TrainSettings::default() };
        let start = ProcessTime::now();
        let (model, cost, ladder) = match way.as_str() {
            "rungs" | "rung0" | "rung1" | "rung2" => {
                let (least, most, epochs) = match way.as_str() {
                    "rung0" => (Rung::Ngrams, Rung::Ngrams, 1),
                    "rung1" => (Rung::Frozen, Rung::Frozen, 1),
                    "rung2" => (Rung::FineTuned, Rung::FineTuned, plan.epochs),
                    _ => (Rung::Ngrams, Rung::FineTuned, LadderSettings::default().fine_tuning.epochs),
                };
                let fine_tuning = TrainSettings { epochs, ..tuning };
                let settings = LadderSettings { least, most, fine_tuning, exits, ..LadderSettings::default() };
                let texts = LadderTexts { training: &data.train, validation: &data.validation, joins: true };
                let mut watch = |event: LadderEvent<'_>| {
                    if let LadderEvent::Measured(point) = event {
                        report(&format!("  {point:?}"));
                    }
                };
                let rule = &mut UnlessStill::default();
                let climbed = climb(&classifier, texts, &settings, rule, &mut watch, &mut rng)?;
                let cost = climbed.ladder.flops as f64 / climbed.ladder.pass_flops as f64;
                (climbed.model, cost, Some(climbed.ladder))
            }
            "once" | "reference" => {
                let settings = match way.as_str() {
                    "once" => tuning,
                    _ => TrainSettings { epochs: MOST_PASSES, patience: Some(PATIENCE), ..tuning },
                };
                let mut tuned = FineTuning::new(classifier);
                let history = Trainer::new(settings).fit(&mut tuned, &data.train, &data.validation, &mut ())?;
                let forward = |texts: &dht_transformer::EncodedDataset| -> u64 {
                    let lengths = texts.lengths().into_iter();
                    lengths.map(|tokens| tuned.model().forward_flops(Load::of_text(tokens)).0).sum()
                };
                let backward: u64 = data
                    .train
                    .lengths()
                    .into_iter()
                    .map(|tokens| tuned.model().backward_flops(Load::of_text(tokens)).0)
                    .sum();
                let pass = forward(&data.train) + backward;
                let spent = tuned.flops() + history.epochs.len() as u64 * forward(&data.validation);
                let texts = Texts::new(&data.train).with_held_out(&data.validation);
                let made = accelerate(tuned.model(), texts, &exits, &mut rng)?;
                (made.model, (spent + made.report.flops) as f64 / pass as f64, None)
            }
            other => {
                return Err(format!("--ways {other}: expected rungs, rung0, rung1, rung2, once or reference").into());
            }
        };
        let cpu_minutes = start.elapsed().as_secs_f64() / 60.0;
        let row = score(&model, &data, Row::new(way, &plan, (cost, cpu_minutes), ladder))?;
        report(&format!(
            "{way} {}: {:.4} (all layers {:.4}), cost {:.3} passes, {:.1} CPU minutes, rung {:?} {:?}",
            plan.seed, row.accuracy, row.all_layers, row.cost, row.cpu_minutes, row.rung, row.stop
        ));
        record.rows.push(row);
        let json = serde_json::to_string_pretty(&record)?;
        write_atomically(&flags.out, |file| writeln!(file, "{json}"))?;
    }
    Ok(())
}

impl Row {
    fn new(way: &str, plan: &RunPlan, (cost, cpu_minutes): (f64, f64), ladder: Option<LadderReport>) -> Self {
        let name = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let path = ladder.iter().flat_map(|ladder| &ladder.measurements);
        Self {
            way: way.into(),
            seed: plan.seed,
            learning_rate: plan.learning_rate,
            accuracy: 0.0,
            all_layers: 0.0,
            inference: 0.0,
            cost,
            cpu_minutes,
            path: path.map(|point| (point.cost, point.loss, point.accuracy)).collect(),
            passes: ladder.as_ref().map_or(0.0, |ladder| ladder.passes),
            rung: ladder.as_ref().map(|ladder| name(serde_json::json!(ladder.rung))),
            stop: ladder.as_ref().map(|ladder| name(serde_json::json!(ladder.stop))),
            right: String::new(),
        }
    }
}

fn score(model: &DynamicModel, data: &RunData, row: Row) -> Result<Row, Failure> {
    let evaluation = evaluate(model, &data.test, BATCH)?;
    let all = evaluate(&model.with_speed(0.0)?, &data.test, BATCH)?;
    let right = evaluation
        .labels
        .iter()
        .zip(&data.test.samples)
        .map(|(label, sample)| if *label == sample.label { '1' } else { '0' });
    Ok(Row {
        accuracy: evaluation.confusion.accuracy(),
        all_layers: all.confusion.accuracy(),
        inference: evaluation.flops as f64 / model.full_inference_flops(&data.test) as f64,
        right: right.collect(),
        ..row
    })
}
