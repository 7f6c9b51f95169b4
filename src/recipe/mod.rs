//! What each part of an acceleration is worth: one classifier, accelerated with several settings, on texts that neither it nor
//! any choice has seen. Test texts are not read.

mod less_training;
mod speeds;
mod variants;

use std::path::{Path, PathBuf};

use clap::Parser;
use dht_dynamic::accelerate::{AccelerateSettings, Accelerated, Texts, accelerate};
use dht_dynamic::evaluation::{Staged, Stages, stage_flops, stage_log_probabilities};
use dht_dynamic::{Predictor, evaluate};
use dht_search::routing::ExitBandits;
use dht_transformer::{EncodedDataset, TextClassifier, train::metrics::paired_bootstrap};

use crate::error::{Error, Result};
use crate::experiment::{
    ACCELERATED, Arguments, DataArguments, Model, RunData, RunPlan, accelerate_settings, flops, rng,
};
use crate::record::{RecipeRecord, SpeedTrial, Trial};
use dht_cli::report;
use speeds::World;
use variants::{DEFAULT, Variant, variants};

pub use less_training::{LessTrainingArguments, less_training};

/// Texts in a batch.
const BATCH: usize = 64;
/// Resamples of a bootstrap.
const RESAMPLES: usize = 2_000;
/// The most points of a curve of thresholds.
const POINTS: usize = 200;
/// The stream of random numbers of the bootstrap.
const RESAMPLED: u64 = 5;

/// Accelerate a classifier with several settings, and write what each of them is worth into a record.
///
/// The rows of the training file are used in this order: those of the fine-tuning (a tenth of them for validation), rows that are
/// skipped, rows that scores are of, rows whose labels are not looked at.
#[derive(Debug, Clone, Parser)]
pub struct RecipeArguments {
    /// Directory with train.* and test.* or dev.* (csv, tsv, jsonl; also .gz); no test row is scored
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Hugging Face directory of the classifier, fine-tuned on the first rows but for those of validation
    #[arg(long, value_name = "DIR")]
    pub classifier: PathBuf,
    /// Rows of the fine-tuning, a tenth of them for validation
    #[arg(long, value_name = "N")]
    pub train_rows: usize,
    /// Rows after them that are not used
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub skip_rows: usize,
    /// Rows after these that scores are of
    #[arg(long, value_name = "N", default_value_t = 4_000)]
    pub judged_rows: usize,
    /// Rows after these for the settings that take texts without labels
    #[arg(long, value_name = "N", default_value_t = 12_000)]
    pub unlabelled_rows: usize,
    /// Maximum length of a text in tokens
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub max_length: usize,
    /// Passes of the fine-tuning, for the FLOPs of training
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub epochs: usize,
    /// Seed of the fine-tuning and of everything here
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Names of settings, separated by commas [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub settings: Vec<String>,
    /// File that the trials are added to
    #[arg(long, value_name = "FILE", default_value = "docs/records/recipe.json")]
    pub record: PathBuf,
}

/// Tries the settings, one after another; each is in the record as soon as it is known.
///
/// # Errors
/// [`Error::Argument`] for names of settings that there are not; all errors of the data, the classifier and the record.
pub fn recipe(arguments: &RecipeArguments) -> Result<RecipeRecord> {
    let mut chosen = variants();
    if let Some(unknown) = arguments.settings.iter().find(|name| !chosen.iter().any(|variant| variant.name == **name)) {
        let names = chosen.iter().map(|variant| variant.name).collect::<Vec<_>>().join(", ");
        return Err(Error::Argument { flag: "settings", expected: names, got: unknown.clone() });
    }
    chosen
        .retain(|variant| arguments.settings.is_empty() || arguments.settings.iter().any(|name| name == variant.name));
    let mut record = load(&arguments.record)?;
    let bench = Bench::new(arguments)?;
    for variant in &chosen {
        let (trial, speeds) = bench.trial(variant)?;
        report(&format!("{}: score {:.4}, accuracy at costs {:.3?}", trial.setting, trial.score, trial.at_costs));
        record.add(trial);
        if let Some(speeds) = speeds {
            record.add_speeds(speeds);
        }
        record.save(&arguments.record)?;
    }
    Ok(record)
}

/// The record so far; an empty one where there is none.
fn load(path: &Path) -> Result<RecipeRecord> {
    if path.exists() { RecipeRecord::load(path) } else { Ok(RecipeRecord::default()) }
}

/// The classifier and the texts.
struct Bench {
    plan: RunPlan,
    data: RunData,
    classifier: TextClassifier,
    judged: EncodedDataset,
    unlabelled: EncodedDataset,
    /// FLOPs of the fine-tuning.
    fine_tuning: u64,
    full_labels: Vec<u32>,
    /// The classifier's accuracy on the validation rows.
    own_accuracy: f64,
}

impl Bench {
    fn new(arguments: &RecipeArguments) -> Result<Self> {
        let others = arguments.skip_rows + arguments.judged_rows + arguments.unlabelled_rows;
        let plan = RunPlan::try_from(Arguments {
            source: DataArguments {
                data: Some(arguments.data.clone()),
                max_length: Some(arguments.max_length),
                train_rows: Some(arguments.train_rows),
                // One test row has to be read; it is not used.
                test_rows: Some(1),
                extra_test_rows: Some(others),
                ..DataArguments::default()
            },
            model: Model::Directory(arguments.classifier.clone()),
            epochs: Some(arguments.epochs),
            seed: arguments.seed,
            ..Arguments::parse_from(["recipe"])
        })?;
        let data = RunData::load(&plan)?;
        report(&data.record.summary());
        let got = data.test.len() - 1;
        if got < others {
            let name = format!("{}, after the rows of the fine-tuning", data.record.name);
            return Err(Error::TooLittle { data: name, what: "rows", least: others, got });
        }
        let first = 1 + arguments.skip_rows;
        let part = |from: usize, count: usize| EncodedDataset {
            samples: data.test.samples[from..from + count].to_vec(),
            ..data.test.clone()
        };
        let judged = part(first, arguments.judged_rows);
        let unlabelled = part(first + arguments.judged_rows, arguments.unlabelled_rows);
        let classifier = TextClassifier::load(&arguments.classifier, &plan.device.open()?)?;
        let (forward, backward) = flops(&classifier, &data.train)?;
        let full_labels = evaluate(&classifier, &judged, BATCH)?.labels;
        let own_accuracy = evaluate(&classifier, &data.validation, BATCH)?.confusion.accuracy();
        let fine_tuning = arguments.epochs as u64 * (forward + backward);
        Ok(Self { plan, classifier, judged, unlabelled, fine_tuning, full_labels, own_accuracy, data })
    }

    /// A variant, and with the defaults what rules for speeds come to.
    fn trial(&self, variant: &Variant) -> Result<(Trial, Option<Vec<SpeedTrial>>)> {
        let mut settings: AccelerateSettings = accelerate_settings(&self.data, BATCH)?;
        (variant.change)(&mut settings);
        let texts = Texts::new(&self.data.train).with_held_out(&self.data.validation);
        let texts = if variant.unlabelled { texts.with_unlabelled(&self.unlabelled) } else { texts };
        let mut made = accelerate(&self.classifier, texts, &settings, &mut rng(&self.plan, ACCELERATED))?;
        let choices = match variant.bandit {
            Some(decided) => {
                let (bandits, spent) = ExitBandits::fit(&made.model, decided, &self.data.validation, BATCH)?;
                made = made.with_router(Box::new(bandits), &self.data.validation, &bandit_speeds(), BATCH)?;
                made.report.flops += spent;
                self.by_bandit(&made)?
            }
            None => self.by_threshold(&made, variant)?,
        };
        let at_costs: Vec<f64> = choices.at_costs.iter().map(|at| accuracy(&at.labels, &self.judged)).collect();
        let full_accuracy = accuracy(&self.full_labels, &self.judged);
        let lossless = choices.lossless;
        let classes = |labels: &[u32]| labels.iter().map(|label| *label as usize).collect::<Vec<_>>();
        let truth: Vec<usize> = self.judged.samples.iter().map(|sample| sample.label as usize).collect();
        let deficit = paired_bootstrap(
            self.judged.labels.len(),
            &truth,
            &classes(&self.full_labels),
            &classes(&lossless.labels),
            RESAMPLES,
            &mut rng(&self.plan, RESAMPLED),
        )?;
        let trial = Trial {
            setting: variant.name.into(),
            data: self.data.record.name.clone(),
            rows: [made.report.rows, made.report.unlabelled_rows, self.judged.len()],
            seeds: vec![self.plan.seed],
            score: Trial::score_of(&at_costs),
            at_costs,
            full_accuracy,
            accuracy: accuracy(&lossless.labels, &self.judged),
            inference_flops_ratio: lossless.flops as f64 / self.full_flops(&self.judged),
            deficit_upper95: deficit.upper_95,
            train_flops_ratio: 1.0 + made.report.flops as f64 / self.fine_tuning as f64,
            fits_counted: true,
            kept: variant.name == DEFAULT,
        };
        Ok((trial, choices.speeds))
    }

    fn full_flops(&self, data: &EncodedDataset) -> f64 {
        data.lengths().into_iter().map(|tokens| self.classifier.full_flops(tokens) as f64).sum()
    }

    /// Thresholds are arithmetic on the answers of the stages.
    fn by_threshold(&self, made: &Accelerated, variant: &Variant) -> Result<Choices> {
        let stages = |data: &EncodedDataset| -> Result<Stages> {
            let tables = stage_log_probabilities(&made.model, data, BATCH)?;
            Ok(Stages::new(&tables, stage_flops(&made.model, data), variant.rule)?)
        };
        let (validation, judged) = (stages(&self.data.validation)?, stages(&self.judged)?);
        let at = |threshold: f64| {
            let Staged { labels, flops, .. } = judged.at(threshold);
            Answers { labels, flops }
        };
        let (thresholds, budget) = (validation.thresholds(POINTS), self.full_flops(&self.data.validation));
        let within = |cost: f64| at(validation.within(cost * budget, &thresholds).unwrap_or(1.0));
        let labels: Vec<u32> = self.data.validation.samples.iter().map(|sample| sample.label).collect();
        let lossless = at(validation.lossless(&labels, self.own_accuracy, &thresholds));
        let truth: Vec<u32> = self.judged.samples.iter().map(|sample| sample.label).collect();
        let world = World {
            data: &self.data.record.name,
            stages: &judged,
            full: &self.full_labels,
            full_flops: self.full_flops(&self.judged),
            labels: &truth,
            thresholds: &thresholds,
        };
        let speeds = (variant.name == DEFAULT).then(|| world.speeds(&mut rng(&self.plan, RESAMPLED)));
        Ok(Choices { at_costs: Trial::COSTS.into_iter().map(within).collect(), lossless, speeds })
    }

    /// A bandit runs at each speed.
    fn by_bandit(&self, made: &Accelerated) -> Result<Choices> {
        let at = |speed: f64| -> Result<Answers> {
            let found = evaluate(&made.model.with_speed(speed)?, &self.judged, BATCH)?;
            Ok(Answers { labels: found.labels, flops: found.flops + found.bandit_flops })
        };
        let dearest = made.report.curve.last().map_or(0.0, |point| point.speed);
        let within = |cost: f64| at(made.report.within(cost).map_or(dearest, |point| point.speed));
        let at_costs = Trial::COSTS.into_iter().map(within).collect::<Result<_>>()?;
        Ok(Choices { at_costs, lossless: at(made.report.speed)?, speeds: None })
    }
}

/// Speeds λ of a bandit's curve: 0, and from .003 to 10 in equal ratios.
fn bandit_speeds() -> Vec<f64> {
    const STEPS: i32 = 32;
    let [first, last] = [0.003, 10.0_f64];
    let speed = |step: i32| first * (last / first).powf(f64::from(step) / f64::from(STEPS - 1));
    std::iter::once(0.0).chain((0..STEPS).map(speed)).collect()
}

/// Classes of the judged texts, and what they cost.
struct Answers {
    labels: Vec<u32>,
    flops: u64,
}

/// A model at each cost, and where the validation texts lose nothing.
struct Choices {
    at_costs: Vec<Answers>,
    lossless: Answers,
    speeds: Option<Vec<SpeedTrial>>,
}

fn accuracy(labels: &[u32], data: &EncodedDataset) -> f64 {
    let right = labels.iter().zip(&data.samples).filter(|(label, sample)| **label == sample.label).count();
    right as f64 / data.len().max(1) as f64
}
