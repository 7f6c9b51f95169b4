//! Acceleration of a classifier with early exits: fitting exits, setting a budget or verifying a promise (limit on the
//! loss of accuracy), and reporting costs and scores.

use std::collections::BTreeSet;

use clap::Args;
use dht_dynamic::accelerate::{AccelerateSettings, Report, Targets, Texts, accelerate_watched};
use dht_dynamic::evaluation::{Guarantee, Promise, Risk, SpeedPoint};
use dht_dynamic::exit::NgramSettings;
use dht_dynamic::serving::KeptPromise;
use dht_dynamic::transformer::train::metrics::LabelThresholds;
use dht_dynamic::transformer::{EncodedDataset, Sample, Task, TextClassifier, TextTokenizer};
use dht_dynamic::{DynamicModel, Error as DynamicError, SeenTexts};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::progress::{FitProgress, report};
use crate::texts::EncodedSplits;

/// Maximum number of tokens that the n-gram classifier reads beyond the encoder's maximum length.
pub const REST: usize = 4096;
/// Number of texts in a batch.
pub const BATCH: usize = 64;
/// ChaCha stream number of the random generator for fitting early exits.
const STREAM: u64 = 0x4163_6365_6c65_7261;
/// Default fraction of the training rows that is reserved to verify a promise (a limit on the loss of accuracy).
const CALIBRATION_SHARE: f64 = 0.1;
/// Default maximum number of rows that are reserved to verify a promise (a limit on the loss of accuracy).
const MOST_CALIBRATION_ROWS: usize = 2_000;

/// Flags that set the speed of a model.
#[derive(Debug, Clone, Args)]
pub struct SpeedArguments {
    /// Limit the expected cost to this share of the full model's FLOPs.
    ///
    /// Half a standard error of the cost is added, measured on held-out rows. Without --budget and --points, the model
    /// runs at the cheapest speed that loses at most 0.3 points of accuracy on held-out rows, estimated from the
    /// probabilities of all layers. For numbers and ratings, the limit is 0.3 points of R² (one point is .01).
    #[arg(long, value_name = "SHARE", conflicts_with = "points")]
    pub budget: Option<f64>,
    /// Limit the loss of accuracy against the full model to N percentage points, and verify this promise.
    ///
    /// Without labels, the limit applies to the percentage of answers that differ from the full model's.
    #[arg(long, value_name = "POINTS")]
    pub points: Option<f64>,
    /// Probability with which the promise holds
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, requires = "points")]
    pub confidence: f64,
    /// Reserve N rows to verify the promise [default: a tenth of the rows, or half of separate validation rows; at most
    /// 2000]
    #[arg(long, value_name = "N", requires = "points")]
    pub calibration_rows: Option<usize>,
    /// Keep the texts' hidden states in memory up to this many MiB; larger ones go to a temporary file until the exits
    /// are fitted
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    pub state_memory: usize,
}

impl SpeedArguments {
    /// Rejects flags whose numbers are out of range.
    ///
    /// # Errors
    /// [`Error::Argument`] if a number is out of range.
    pub fn check(&self) -> Result<()> {
        let inside = |value: f64| value > 0.0 && value <= 1.0;
        if let Some(budget) = self.budget.filter(|budget| !inside(*budget)) {
            return Err(Error::argument("budget", "a share of the full model's FLOPs above 0 and up to 1", budget));
        }
        if let Some(points) = self.points.filter(|points| !(*points > 0.0 && *points < 100.0)) {
            return Err(Error::argument("points", "percentage points above 0 and below 100", points));
        }
        if self.calibration_rows == Some(0) {
            return Err(Error::argument("calibration-rows", "at least 1: a promise is shown on rows", 0));
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            return Err(Error::argument("confidence", "above 0 and below 1", self.confidence));
        }
        Ok(())
    }

    /// Number of rows to split off the training rows for calibration: a tenth of `rows`, unless a flag sets the number.
    pub fn rows_to_keep(&self, rows: usize) -> usize {
        self.reserved_rows((rows as f64 * CALIBRATION_SHARE) as usize)
    }

    /// Number of rows to split off separate validation rows for calibration: half of `rows`, unless a flag sets the
    /// number.
    pub fn rows_to_keep_of_validation(&self, rows: usize) -> usize {
        self.reserved_rows(rows / 2)
    }

    fn reserved_rows(&self, usual: usize) -> usize {
        let usual = usual.min(MOST_CALIBRATION_ROWS);
        if self.points.is_some() { self.calibration_rows.unwrap_or(usual) } else { 0 }
    }
}

/// Dynamic model with the report of its acceleration.
#[derive(Debug)]
pub struct AcceleratedModel {
    /// Accelerated model, set to its default speed.
    pub model: DynamicModel,
    /// Report of the acceleration: costs and scores.
    pub report: Report,
    /// Verified promise (limit on the loss of accuracy), if one was requested and could be verified.
    pub promise: Option<KeptPromise>,
    /// Requested limits, such as a budget of FLOPs, that the model does not keep: one sentence each.
    pub misses: Vec<String>,
}

/// Settings for fitting early exits.
///
/// # Errors
/// [`Error::Transformer`] if the tokenizer fails.
pub fn exit_settings(tokenizer: &TextTokenizer, speed: &SpeedArguments) -> Result<AccelerateSettings> {
    let state_bytes = speed.state_memory.saturating_mul(1 << 20);
    let ngram = NgramSettings { left_out: tokenizer.tokens_around()?, ..NgramSettings::default() };
    Ok(AccelerateSettings { ngram: Some(ngram), batch_size: BATCH, state_bytes, ..AccelerateSettings::default() })
}

/// Random number generator for fitting exits.
pub fn exit_generator(seed: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM);
    rng
}

/// Fits early exits and an n-gram classifier, the first exit, on a classifier, which does not change. Then [sets the
/// speed](at_speed). The default speed is the cheapest that loses at most 0.3 points of accuracy on the validation
/// texts, or of R² for numbers ([`Report::speed`]).
///
/// # Errors
/// [`Error::Dynamic`] or [`Error::Transformer`] if the exits cannot be fitted.
pub fn make_dynamic(
    classifier: &TextClassifier,
    texts: &EncodedSplits,
    settings: &AccelerateSettings,
    speed: (&SpeedArguments, Option<&LabelThresholds>),
    seed: u64,
    quiet: bool,
) -> Result<AcceleratedModel> {
    let fitted_on = Texts::new(&texts.train).with_held_out(&texts.validation);
    let mut progress = FitProgress::new(quiet);
    let mut watch = |step| progress.observe(step);
    let made = accelerate_watched(classifier, fitted_on, settings, &mut watch, &mut exit_generator(seed))?;
    progress.report_seconds();
    at_speed(made.model, made.report, texts, settings.targets, speed)
}

/// Sets the speed (exit threshold) of a dynamic model: within the requested budget of FLOPs, or so that the promise
/// (limit on the loss of accuracy) holds. `thresholds` are the label thresholds of a multi-label model.
///
/// # Errors
/// [`Error::Dynamic`] or [`Error::Transformer`] if the model fails. A promise that cannot be verified is not an error:
/// the model then has its default speed, and [`misses`](AcceleratedModel::misses) says that the promise was not
/// verified.
pub fn at_speed(
    model: DynamicModel,
    report: Report,
    texts: &EncodedSplits,
    targets: Targets,
    (speed, thresholds): (&SpeedArguments, Option<&LabelThresholds>),
) -> Result<AcceleratedModel> {
    let mut made = AcceleratedModel { model, report, promise: None, misses: Vec::new() };
    match speed.budget {
        Some(budget) => made.set_budget(budget)?,
        None if made.report.number_variance == Some(0.0) => report_unmeasured(),
        None => {}
    }
    if let (Some(points), Some(calibration)) = (speed.points, &texts.calibration) {
        // Without labels, the full model's answers are the reference.
        let risk = if targets == Targets::Predictions { Risk::Disagreement } else { Risk::AccuracyLoss };
        made.show_promise(risk, points, speed.confidence, (calibration, thresholds))?;
    }
    Ok(made)
}

/// Reports that no loss of R² could be measured, so that the default speed runs all layers.
fn report_unmeasured() {
    report("the numbers of all held-out rows are on one level: no speed can be selected, so each text runs all layers");
}

impl AcceleratedModel {
    /// Sets the speed (exit threshold) whose expected cost is within `budget`, a share of the full model's FLOPs. If no
    /// speed is cheap enough, sets the cheapest.
    fn set_budget(&mut self, budget: f64) -> Result<()> {
        let (point, last) = (self.report.within(budget), self.report.curve.last().copied());
        if point.is_none() {
            let least = last.map_or(f64::NAN, |point| point.flops_ratio);
            self.misses.push(format!(
                "--budget {budget}: the lowest cost of this model is {least:.3} of the full model's FLOPs; its speed is set to that cost"
            ));
        }
        if let Some(point) = point.or(last) {
            self.model = self.model.with_speed(point.speed)?;
        }
        Ok(())
    }

    /// Sets the cheapest speed (exit threshold) at which the calibration texts prove, with the probability
    /// `confidence`, that the model loses at most `points` percentage points of accuracy.
    fn show_promise(
        &mut self,
        risk: Risk,
        points: f64,
        confidence: f64,
        (calibration, thresholds): (&EncodedDataset, Option<&LabelThresholds>),
    ) -> Result<()> {
        let calibration = unseen(calibration, self.model.seen_texts())?;
        let asked = Promise { risk, most: points / 100.0, guarantee: Guarantee::Confidence(confidence) };
        let mut speeds: Vec<f64> = self.report.curve.iter().map(|point| point.speed).collect();
        speeds.dedup();
        let shown = match thresholds {
            // The promise is about the answers after these thresholds are applied.
            Some(thresholds) => self.model.with_promise_for(asked, &calibration, &speeds, BATCH, thresholds),
            None => self.model.with_promise(asked, &calibration, &speeds, BATCH),
        };
        match shown {
            Ok((model, shown)) => {
                self.model = model;
                self.promise = KeptPromise::new(asked, &shown);
                Ok(())
            }
            Err(DynamicError::Promise { rows, needed, least, .. }) => {
                let texts =
                    needed.map_or(String::new(), |needed| format!("use about {needed} (--calibration-rows), or "));
                self.misses.push(format!(
                    "--points {points} cannot be shown from {rows} texts: {texts}--points {:.2}; the model runs at its default speed",
                    100.0 * least + 0.005
                ));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Calibration rows without those whose text the model has seen in training. (A text may occur in several rows of a
/// file.)
fn unseen(calibration: &EncodedDataset, learned: &SeenTexts) -> Result<EncodedDataset> {
    let (all, seen) = (calibration.len(), learned.rows_of(calibration));
    if seen.is_empty() {
        return Ok(calibration.clone());
    }
    if seen.len() == all {
        return Err(Error::argument("points", "calibration rows with other texts than the training", "set"));
    }
    report(&format!(
        "{} of {all} calibration rows have the text of a training row: they are not used to verify the promise",
        seen.len()
    ));
    let seen: BTreeSet<usize> = seen.into_iter().collect();
    Ok(calibration.select((0..all).filter(|row| !seen.contains(row)))?)
}

/// Thresholds of a multi-label model: one half for each label. If every training text has a label, an answer must have
/// at least one label too.
pub fn label_thresholds(task: Task, train: &EncodedDataset) -> Option<LabelThresholds> {
    let has_label = |sample: &Sample| sample.targets.iter().any(|target| *target >= 0.5);
    let never_empty = !train.is_empty() && train.samples.iter().all(has_label);
    (task == Task::Labels).then(|| LabelThresholds { never_empty, ..LabelThresholds::even(train.labels.len()) })
}

/// Converts the points of a model's speed curve to JSON objects with speed, cost and accuracy. The key `cost` is also
/// used in answers.
pub fn curve_points(curve: &[SpeedPoint]) -> Vec<serde_json::Value> {
    let point = |point: &SpeedPoint| {
        let SpeedPoint { speed, flops_ratio, accuracy, .. } = *point;
        serde_json::json!({ "speed": speed, "cost": flops_ratio, "accuracy": accuracy })
    };
    curve.iter().map(point).collect()
}
