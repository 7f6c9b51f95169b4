//! Compares rules that select the default speed: their costs and accuracy losses, with different numbers of held-out
//! rows.
//!
//! A model is trained on some rows of a data set: only rung 1, or also fine-tuned. Its exits answer a pool of other
//! training rows, and the test rows. Each rule then selects a speed on held-out rows from the pool. The stacking
//! weights are fitted on the same rows. The speed is scored on the test rows, in comparison with all layers.
//! *Cross-fitted* models have no held-out rows. Speeds for a budget ("cost up to") are selected on the same rows.
//!
//! The processor time of some test rows is measured at several speeds in turns, as a share of the time with all layers.
//!
//! `cargo run --release --example default_speed -- --data DIR --model DIR --answers DIR --out RECORD.json`. The
//! answers of a model are stored, so that the same command continues, and another rule needs no training.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use cpu_time::ProcessTime;
use dht_cli::report;
use dht_dynamic::accelerate::AccelerateSettings;
use dht_dynamic::evaluation::{Calibration, Guarantee, Promise, Risk, SpeedPoint, Stages};
use dht_dynamic::exit::{NgramSettings, Stacker};
use dht_dynamic::ladder::{LadderSettings, LadderTexts, Rung, UnlessStill, climb};
use dht_dynamic::router::LeavingRule;
use dht_dynamic::{DynamicModel, LogProbabilities, evaluate};
use dht_lab::record::{Machine, this_machine};
use dht_lab::{Arguments, RunData, RunPlan};
use dht_transformer::storage::write_atomically;
use dht_transformer::{AdamWSettings, EncodedDataset, Pooling, TextClassifier, TrainSettings};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Number of texts in a batch of a scoring pass.
const BATCH: usize = 64;
/// Maximum number of thresholds that a rule selects from.
const POINTS: usize = 200;
/// Numbers of held-out rows, and number of draws for each.
const HELD_OUT: [usize; 4] = [100, 300, 600, 1_000];
const DRAWS: usize = 8;
/// Largest loss of accuracy at which a cost counts as possible.
const CLOSE: f64 = 0.003;
/// Costs that are requested as budgets.
const BUDGETS: [f64; 5] = [0.05, 0.1, 0.2, 0.35, 0.5];
/// Number of timed test rows, number of turns, and timed speeds.
const TIMED: usize = 500;
const TURNS: usize = 3;
const SPEEDS: usize = 8;

#[derive(Debug, Parser)]
#[command(about = "What rules for the default speed cost and lose")]
struct Flags {
    #[command(flatten)]
    run: Arguments,
    /// Write the record to this file
    #[arg(long)]
    out: PathBuf,
    /// Store the answers of each model in this directory
    #[arg(long)]
    answers: PathBuf,
    /// Number of training rows
    #[arg(long, default_value_t = 1_500)]
    fit: usize,
    /// Number of rows that C is selected on
    #[arg(long, default_value_t = 300)]
    held_out: usize,
    /// Number of rows that held-out rows are drawn from
    #[arg(long, default_value_t = 2_000)]
    pool: usize,
    /// Ways to train: rung1, rung2 (three passes), crossfit
    #[arg(long, value_delimiter = ',', default_value = "rung1,rung2,crossfit")]
    kinds: Vec<String>,
}

/// Results of all models.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    machine: Machine,
    models: Vec<Model>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Model {
    data: String,
    seed: u64,
    kind: String,
    choices: Vec<Choice>,
    /// FLOPs and processor time at several speeds, as shares of all layers'. The first speed runs all layers.
    #[serde(default)]
    clock: Vec<(f64, f64)>,
}

/// Results of one rule with one number of held-out rows, over several draws.
#[derive(Debug, Serialize, Deserialize)]
struct Choice {
    held_out: usize,
    rule: String,
    /// For each draw, the FLOPs on the test rows as a share of all layers', and the change of accuracy compared with
    /// all layers.
    draws: Vec<(f64, f64)>,
    /// For each draw, the lowest cost at which the test rows lose at most three tenths of a point.
    possible: Vec<f64>,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
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
        Err(_) => Record { machine: this_machine(&device), models: Vec::new() },
    };
    std::fs::create_dir_all(&flags.answers)?;
    for kind in &flags.kinds {
        let data_name = &data.record.name;
        let stored = flags.answers.join(format!("{data_name}-{}-{kind}", plan.seed));
        let answered = match stored.with_extension("json").exists() {
            true => Answered::load(&stored)?,
            false => {
                let answered = answers(flags, &plan, &data, kind)?;
                answered.save(&stored)?;
                answered
            }
        };
        let (choices, clock) = (answered.judge(plan.seed)?, answered.clock.clone());
        record.models.retain(|model| (&model.data, model.seed, &model.kind) != (data_name, plan.seed, kind));
        record.models.push(Model { data: data_name.clone(), seed: plan.seed, kind: kind.clone(), choices, clock });
        let json = serde_json::to_string(&record)?;
        write_atomically(&flags.out, |file| writeln!(file, "{json}"))?;
        report(&format!("{data_name} {} {kind}", plan.seed));
    }
    Ok(())
}

/// Trains one kind of model, and returns its answers to the pool and the test rows.
fn answers(flags: &Flags, plan: &RunPlan, data: &RunData, kind: &str) -> Result<Answered, Failure> {
    let mut order: Vec<usize> = (0..data.train.len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(plan.seed));
    let part =
        |from: usize, to: usize| data.train.select(order[from.min(order.len())..to.min(order.len())].iter().copied());
    let (fit, judged) = if kind == "crossfit" { (900, 100) } else { (flags.fit, flags.held_out) };
    let (training, validation) = (part(0, fit)?, part(fit, fit + judged)?);
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    let folder = PathBuf::from(flags.run.model.to_string());
    let (classes, device) = (data.train.labels.len(), plan.device.open()?);
    let classifier = TextClassifier::from_pretrained(&folder, classes, Pooling::Mean, &device, &mut rng)?;
    let ngram = NgramSettings { left_out: data.tokenizer.tokens_around()?, ..NgramSettings::default() };
    let exits = AccelerateSettings { ngram: Some(ngram), batch_size: BATCH, ..AccelerateSettings::default() };
    let optimizer = AdamWSettings { learning_rate: plan.learning_rate, ..AdamWSettings::default() };
    let fine_tuning =
        TrainSettings { epochs: 3, seed: plan.seed, batch_size: plan.batch, optimizer, ..TrainSettings::default() };
    let rung = if kind == "rung2" { Rung::FineTuned } else { Rung::Frozen };
    let settings = LadderSettings { least: rung, most: rung, fine_tuning, exits, ..LadderSettings::default() };
    let texts = LadderTexts { training: &training, validation: &validation, joins: kind == "crossfit" };
    let climbed = climb(&classifier, texts, &settings, &mut UnlessStill::default(), &mut |_| (), &mut rng)?;
    let judged = match climbed.out_of_fold {
        Some(out_of_fold) => Set::new(&climbed.model, &out_of_fold.texts, out_of_fold.stages),
        None => Set::of_exits(&climbed.model, &part(fit + judged, fit + judged + flags.pool)?)?,
    };
    let stackers = climbed.model.front().map(|front| front.stackers().to_vec()).unwrap_or_default();
    let test = Set::of_exits(&climbed.model, &data.test)?;
    let thresholds = test.table(&test.stacked(&stackers)?)?.thresholds(SPEEDS);
    let clock = clock(&climbed.model, &data.test, &thresholds)?;
    Ok(Answered { stackers, cross_fitted: kind == "crossfit", clock, judged, test })
}

/// Measures FLOPs and processor time of texts at several speeds, as shares of the values with all layers. The first
/// speed must be 0. The times are medians over the turns.
fn clock(model: &DynamicModel, texts: &EncodedDataset, speeds: &[f64]) -> Result<Vec<(f64, f64)>, Failure> {
    let texts = texts.select(0..TIMED.min(texts.len()))?;
    let full = model.full_inference_flops(&texts) as f64;
    let mut shares: Vec<(f64, Vec<f64>)> = vec![(0.0, Vec::new()); speeds.len()];
    for _ in 0..TURNS {
        for (speed, (flops, times)) in speeds.iter().zip(&mut shares) {
            let (model, start) = (model.with_speed(*speed)?, ProcessTime::now());
            *flops = evaluate(&model, &texts, BATCH)?.flops as f64 / full;
            times.push(start.elapsed().as_secs_f64());
        }
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let shares: Vec<(f64, f64)> = shares.into_iter().map(|(flops, times)| (flops, median(times))).collect();
    Ok(shares.iter().map(|(flops, seconds)| (*flops, seconds / shares[0].1)).collect())
}

/// Answers of a model to the pool and to the test rows.
#[derive(Debug, Serialize, Deserialize)]
struct Answered {
    stackers: Vec<Stacker>,
    /// True if the judged rows were answered out of fold, and stacked.
    cross_fitted: bool,
    clock: Vec<(f64, f64)>,
    judged: Set,
    test: Set,
}

/// Answers of a model's exits to a set of rows.
#[derive(Debug, Serialize, Deserialize)]
struct Set {
    labels: Vec<u32>,
    /// FLOPs of each row if it exits at a stage, by stage, and FLOPs of the full model.
    flops: Vec<Vec<u64>>,
    full: u64,
    classes: usize,
    /// Log-probabilities of exit 0 and of each exit.
    #[serde(skip)]
    stages: Vec<LogProbabilities>,
}

impl Set {
    fn new(model: &DynamicModel, texts: &EncodedDataset, stages: Vec<LogProbabilities>) -> Self {
        Self {
            labels: texts.samples.iter().map(|sample| sample.label).collect(),
            flops: model.stage_flops(texts),
            full: model.full_inference_flops(texts),
            classes: model.model().classes(),
            stages,
        }
    }

    /// Answers of the exits before stacking.
    fn of_exits(model: &DynamicModel, texts: &EncodedDataset) -> Result<Self, Failure> {
        let front = model.front().ok_or("no exit 0")?.ngram().log_probabilities_of_all(texts)?;
        let exits = model.model().exit_log_probabilities(texts, BATCH)?;
        Ok(Self::new(model, texts, std::iter::once(front).chain(exits).collect()))
    }

    fn select(&self, rows: &[usize]) -> Self {
        let flops: Vec<Vec<u64>> =
            self.flops.iter().map(|flops| rows.iter().map(|row| flops[*row]).collect()).collect();
        // The exits are a small part of the full model's FLOPs, with the same share for each row.
        let share = |flops: &[Vec<u64>]| flops.last().map_or(0, |last| last.iter().sum::<u64>()) as f64;
        let full = (self.full as f64 * share(&flops) / share(&self.flops)) as u64;
        Self {
            labels: rows.iter().map(|row| self.labels[*row]).collect(),
            flops,
            full,
            classes: self.classes,
            stages: self.stages.iter().map(|stage| stage.select(rows)).collect(),
        }
    }

    /// Stacking weights of each exit and exit 0, fitted on these rows.
    fn stackers(&self) -> dht_dynamic::Result<Vec<Stacker>> {
        self.stages[1..].iter().map(|exit| Stacker::fit(&self.stages[0], exit, &self.labels)).collect()
    }

    fn stacked(&self, stackers: &[Stacker]) -> dht_dynamic::Result<Vec<LogProbabilities>> {
        let stacked =
            stackers.iter().zip(&self.stages[1..]).map(|(stacker, exit)| stacker.stack(&self.stages[0], exit));
        std::iter::once(Ok(self.stages[0].clone())).chain(stacked).collect()
    }

    fn table(&self, stages: &[LogProbabilities]) -> dht_dynamic::Result<Stages> {
        Stages::new(stages, self.flops.clone(), LeavingRule::Confidence)
    }

    /// Cost and accuracy at a threshold.
    fn at(&self, table: &Stages, threshold: f64) -> (f64, f64) {
        let at = table.at(threshold);
        let flops = if threshold == 0.0 { self.full } else { at.flops };
        (flops as f64 / self.full as f64, share(&right(&at.labels, &self.labels)))
    }
}

impl Answered {
    /// Selects speeds by each rule, on each number of held-out rows.
    fn judge(&self, seed: u64) -> Result<Vec<Choice>, Failure> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = self.judged.labels.len();
        let mut rows: Vec<usize> = (0..count).collect();
        if self.cross_fitted {
            return self.choices(0, &[(self.judged.select(&rows), self.stackers.clone(), self.judged.stages.clone())]);
        }
        let mut choices = Vec::new();
        for held_out in HELD_OUT.into_iter().filter(|held_out| *held_out <= count) {
            let mut draws = Vec::new();
            for _ in 0..DRAWS {
                rows.shuffle(&mut rng);
                let judged = self.judged.select(&rows[..held_out]);
                let stackers = judged.stackers()?;
                let stages = judged.stacked(&stackers)?;
                draws.push((judged, stackers, stages));
            }
            choices.extend(self.choices(held_out, &draws)?);
        }
        Ok(choices)
    }

    fn choices(
        &self,
        held_out: usize,
        draws: &[(Set, Vec<Stacker>, Vec<LogProbabilities>)],
    ) -> Result<Vec<Choice>, Failure> {
        let rules: [(&str, Rule); 3] =
            [("regret", by_regret), ("counts and confidence", by_counts), ("one standard error", by_one_error)];
        let choice =
            |(rule, _): (&str, Rule)| Choice { held_out, rule: rule.into(), draws: Vec::new(), possible: Vec::new() };
        let mut choices: Vec<Choice> = rules.into_iter().map(choice).collect();
        let mut budgets: Vec<Choice> = BUDGETS
            .iter()
            .map(|asked| Choice {
                held_out,
                rule: format!("cost up to {asked}"),
                draws: Vec::new(),
                possible: Vec::new(),
            })
            .collect();
        for (judged, stackers, stages) in draws {
            let judge = Judge { table: judged.table(stages)?, stages, labels: &judged.labels };
            let thresholds = judge.table.thresholds(POINTS);
            let test = self.test.table(&self.test.stacked(stackers)?)?;
            let (_, all_layers) = self.test.at(&test, 0.0);
            let costs = test.thresholds(POINTS).into_iter().map(|threshold| self.test.at(&test, threshold));
            let close = costs.filter(|(_, accuracy)| *accuracy >= all_layers - CLOSE).map(|(cost, _)| cost);
            let possible = close.fold(1.0, f64::min);
            for ((_, rule), choice) in rules.iter().zip(&mut choices) {
                let (cost, accuracy) = self.test.at(&test, rule(&judge, &thresholds));
                choice.draws.push((cost, accuracy - all_layers));
                choice.possible.push(possible);
            }
            for (asked, choice) in BUDGETS.iter().zip(&mut budgets) {
                if let Some(threshold) = by_budget(&judge, judged.full, &thresholds, *asked) {
                    let (cost, accuracy) = self.test.at(&test, threshold);
                    choice.draws.push((cost, accuracy - all_layers));
                    choice.possible.push(possible);
                }
            }
        }
        choices.extend(budgets);
        Ok(choices)
    }

    /// Writes the answers to two files: logarithms as f32, and the rest.
    fn save(&self, path: &std::path::Path) -> Result<(), Failure> {
        for (name, set) in [("pool.bin", &self.judged), ("test.bin", &self.test)] {
            let values = set.stages.iter().flat_map(LogProbabilities::values);
            let bytes: Vec<u8> = values.flat_map(|value| (*value as f32).to_le_bytes()).collect();
            std::fs::write(path.with_extension(name), bytes)?;
        }
        Ok(std::fs::write(path.with_extension("json"), serde_json::to_string(self)?)?)
    }

    fn load(path: &std::path::Path) -> Result<Self, Failure> {
        let mut own: Self = serde_json::from_slice(&std::fs::read(path.with_extension("json"))?)?;
        for (name, set) in [("pool.bin", &mut own.judged), ("test.bin", &mut own.test)] {
            let bytes = std::fs::read(path.with_extension(name))?;
            let values: Vec<f64> = bytes
                .chunks_exact(4)
                .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]).into())
                .collect();
            let of_stage = set.labels.len() * set.classes;
            let stages = values.chunks_exact(of_stage).map(|stage| LogProbabilities::new(set.classes, stage.to_vec()));
            set.stages = stages.collect::<Result<_, _>>()?;
        }
        Ok(own)
    }
}

/// Held-out rows on which a rule selects a threshold.
struct Judge<'a> {
    table: Stages,
    stages: &'a [LogProbabilities],
    labels: &'a [u32],
}

type Rule = fn(&Judge<'_>, &[f64]) -> f64;

/// Rule of the library, by regret.
fn by_regret(judge: &Judge<'_>, thresholds: &[f64]) -> f64 {
    let full = judge.table.at(0.0).labels;
    let calibration = Calibration { stages: &judge.table, full: &full, labels: None };
    let promise = Promise { risk: Risk::Regret, most: 0.003, guarantee: Guarantee::StandardErrors(1.0) };
    promise.control(calibration, thresholds).map_or(0.0, |calibrated| calibrated.threshold)
}

/// Slowest threshold whose expected cost is at most a share of all layers' cost.
fn by_budget(judge: &Judge<'_>, full: u64, thresholds: &[f64], asked: f64) -> Option<f64> {
    // FLOPs of each row with all exits, as shares of the full model without earlier exits.
    let mut each = judge.table.row_flops(0.0, &judge.table.at(0.0));
    let share_of_full = full as f64 / each.iter().sum::<u64>() as f64;
    each.iter_mut().for_each(|flops| *flops = (*flops as f64 * share_of_full) as u64);
    let costs = |threshold: &&f64| {
        let at = judge.table.at(**threshold);
        let accuracy = share(&right(&at.labels, judge.labels));
        let flops = judge.table.row_flops(**threshold, &at);
        SpeedPoint::of_texts(**threshold, accuracy, &flops, &each).costs_at_most(asked)
    };
    thresholds.iter().find(costs).copied()
}

/// Highest threshold with at least the accuracy and the mean confidence of all layers. With fewer than 200 rows, its
/// Brier score must also be lower by one standard error.
fn by_counts(judge: &Judge<'_>, thresholds: &[f64]) -> f64 {
    let of = |threshold: f64| {
        let at = judge.table.at(threshold);
        let confidence = |(row, stage): (usize, &usize)| {
            judge.stages[*stage].row(row).iter().copied().fold(f64::NEG_INFINITY, f64::max).exp()
        };
        let confidences: Vec<f64> = at.stages.iter().enumerate().map(confidence).collect();
        (right(&at.labels, judge.labels), confidences)
    };
    let brier = |(right, sure): &(Vec<f64>, Vec<f64>)| -> Vec<f64> {
        right.iter().zip(sure).map(|(right, sure)| (right - sure).powi(2)).collect()
    };
    let last = of(0.0);
    let keeps = |threshold: &&f64| {
        let at = of(**threshold);
        let rises: Vec<f64> = brier(&at).iter().zip(brier(&last)).map(|(at, last)| at - last).collect();
        let is_safe = rises.len() >= 200 || share(&rises) + error(&rises) <= 0.0;
        is_safe && share(&at.0) >= share(&last.0) && share(&at.1) >= share(&last.1)
    };
    thresholds.iter().rev().find(keeps).copied().unwrap_or(0.0)
}

/// Highest threshold whose accuracy is at most one standard error below the best accuracy (Breiman et al. 1984).
fn by_one_error(judge: &Judge<'_>, thresholds: &[f64]) -> f64 {
    let accuracy = |threshold: &f64| share(&right(&judge.table.at(*threshold).labels, judge.labels));
    let best = thresholds.iter().map(accuracy).fold(0.0, f64::max);
    let least = best - (best * (1.0 - best) / judge.labels.len() as f64).sqrt();
    thresholds.iter().rev().find(|threshold| accuracy(threshold) >= least).copied().unwrap_or(0.0)
}

fn right(predictions: &[u32], labels: &[u32]) -> Vec<f64> {
    predictions.iter().zip(labels).map(|(prediction, label)| f64::from(u8::from(prediction == label))).collect()
}

/// Mean of values.
fn share(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Standard error of the mean of values.
fn error(values: &[f64]) -> f64 {
    let (mean, rows) = (share(values), values.len() as f64);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (rows - 1.0).max(1.0) / rows.max(1.0)).sqrt()
}
