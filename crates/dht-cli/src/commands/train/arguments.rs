//! Arguments of `dht train`, their checks, and the settings that they imply.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dht_dynamic::accelerate::Texts;
use dht_dynamic::serving::{NumberLevels, ServedModel};
use dht_dynamic::transformer::{AdamWSettings, Dataset, EncodedDataset, Precision, Task, TextTokenizer, TrainSettings};
use serde_json::{Map, json};

use crate::acceleration::{REST, SpeedArguments};
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::progress::report;
use crate::texts::{Classes, EncodedSplits, SplitRequest, TaskChoice, TextArguments, TextSplits};
use crate::training::{LearningRate, ModelChoice, RungArguments, Start};

/// Default maximum length of texts in tokens, if the model has enough positions.
const MAX_LENGTH: usize = 128;
/// Longer maximum lengths of texts, in tokens, that a training run in rungs (training stages) tries.
const LONGER: [usize; 2] = [256, 512];
/// Share of training texts longer than the default length above which longer maximum lengths are tried.
const LONG_SHARE: f64 = 0.05;
/// Default number of passes over the training rows, if a training run has no rungs (training stages).
const EPOCHS: usize = 3;
/// Default maximum number of passes over the training rows in a training run with rungs (training stages), where
/// fine-tuning stops early by itself.
const RUNG_EPOCHS: usize = 7;

/// Arguments of `dht train`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  dht train --data ag_news --model models/minilm-l6 --out news
  dht train --data reviews.csv --model 6x12x192 --out reviews --budget 0.25
  dht train --data reviews.csv --model hf:bert-base-uncased --out reviews --points 1
  dht train --data glue/mrpc --model hf:bert-base-uncased --out paraphrases
  dht train --data glue/rte --model hf:bert-base-uncased@refs/pr/3 --out entailment
  dht train --data glue/stsb --model hf:bert-base-uncased --out similarity
  dht train --data topics.csv --task labels --label-separator ';' --model hf:bert-base-uncased --out topics
  dht train --data hf:OWNER/NAME/CONFIG --model hf:bert-base-uncased --out other
  dht train --data new.csv --also reviews.csv --model reviews --out reviews-2

The state is saved in the directory OUT.training: each minute, at the end of each pass, and on Ctrl-C and SIGTERM. The
same command resumes the run, and makes the same model as an uninterrupted run. With --finish, it makes a model of the
saved state instead. --rungs and --minutes may differ from those of the stopped run.")]
pub struct TrainArguments {
    #[command(flatten)]
    pub(super) texts: TextArguments,
    /// Also train on the rows of this source, whose columns have the names of those of --data (may be repeated)
    #[arg(long, value_name = "DIR|FILE|NAME")]
    pub(super) also: Vec<PathBuf>,
    /// Encoder to start from: a Hugging Face directory, hf:NAME or hf:NAME@REVISION on the hub, a model of dht, or
    /// LxHxD (such as 6x12x192) to train from scratch
    ///
    /// A model of dht keeps its classes, maximum length and columns, and gets further classes if the new rows have
    /// them. Each of its classes needs rows: if --data lacks some, add the earlier training rows by --also.
    #[arg(long, value_name = "DIR|hf:NAME|LxHxD")]
    pub(super) model: ModelChoice,
    /// Write the model to this directory
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Kind of model to build [default: dynamic; full for numbers, and if --model is a full model]
    #[arg(long, value_enum)]
    pub(super) kind: Option<ModelKind>,
    #[command(flatten)]
    pub(super) speed: SpeedArguments,
    #[command(flatten)]
    pub(super) rungs: RungArguments,
    /// Use only the first N layers of the encoder
    #[arg(long, value_name = "N")]
    pub(super) layers: Option<usize>,
    /// Cut texts at N tokens, and save this limit with the model [default: selected among 128, 256 and 512]
    ///
    /// Without this flag, texts are cut at 128 tokens, or at the encoder's number of positions if that is smaller. If
    /// more than one in twenty training texts is longer, a training run in rungs also tries 256 and 512 tokens: on a
    /// sample of at most 1000 texts, with the encoder as it is. It takes the shortest length that loses nothing against
    /// the longest one. The n-gram model reads whole texts at any length.
    #[arg(long, value_name = "N")]
    pub(super) max_length: Option<usize>,
    /// Put TEXT before each text, in training and in service, such as "query: " for E5 [default: the default prompt in
    /// config_sentence_transformers.json, if there is one]
    #[arg(long, value_name = "TEXT")]
    pub(super) text_prefix: Option<String>,
    /// Use N rows, sampled by the seed and stratified by class
    #[arg(long, value_name = "N")]
    pub(super) train_rows: Option<usize>,
    /// Maximum number of passes of fine-tuning over the training rows [default: 7 in rungs, 3 otherwise]
    #[arg(long, value_name = "N")]
    pub(super) epochs: Option<usize>,
    /// Stop after N passes without a better validation score [default: never]
    #[arg(long, value_name = "N")]
    pub(super) patience: Option<usize>,
    /// Number of texts in a training step
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(super) batch: usize,
    /// Peak learning rate, or `find` to select the best of a few rates in short training runs [default: 1e-3 from
    /// scratch, 5e-5 for a pre-trained encoder]
    #[arg(long, value_name = "X|find")]
    pub(super) lr: Option<LearningRate>,
    /// Weight each class by the reciprocal of its number of rows, so that rare classes are found
    ///
    /// All fits, fine-tuning, and the losses that select settings are weighted. The accuracy is usually lower, and
    /// rare classes have a higher recall. Probabilities are those for texts in which all classes are equally frequent.
    #[arg(long, conflicts_with = "class_weight")]
    pub(super) balanced: bool,
    /// Weight the class NAME by WEIGHT in training; classes that are not named have the weight 1 (may be repeated)
    ///
    /// Only ratios of weights matter. Probabilities are those for texts in which the frequency of each class is
    /// multiplied by its weight.
    #[arg(long, value_name = "NAME=WEIGHT")]
    pub(super) class_weight: Vec<String>,
    /// Minimum probability at which a label applies, for texts with several labels
    #[arg(long, value_enum, default_value_t)]
    pub(super) label_thresholds: ThresholdChoice,
    /// Estimate the benefit of more labelled rows: print the accuracy of rung 1 with an eighth to all of the rows, and
    /// an extrapolation to two and four times the rows. It costs one more pass of the encoder as it is
    #[arg(long)]
    pub(super) learning_curve: bool,
    /// Seed of all random choices
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// Run on this device: auto, cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub(super) device: DeviceChoice,
    /// Train in f32, bf16 (CUDA, Metal) or tf32 (CUDA); the model is saved in f32
    #[arg(long, value_name = "PRECISION", default_value_t)]
    pub(super) precision: Precision,
    /// Make a model of the best rung that a stopped training run has reached, from its saved state
    #[arg(long, conflicts_with = "restart")]
    pub(super) finish: bool,
    /// Delete the state of a stopped training run and start again
    #[arg(long)]
    pub(super) restart: bool,
    /// Replace a model of other classes or of another task at --out
    #[arg(long)]
    pub(super) replace: bool,
    /// Show no progress
    #[arg(long)]
    pub(super) quiet: bool,
    /// Print the results as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Rule that selects the threshold of each label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ThresholdChoice {
    /// One half for each label
    #[default]
    Half,
    /// A threshold for each label that maximises its F1 on held-out rows; one half for a label that fewer than ten of
    /// these rows have or lack
    F1,
}

/// Kind of model to build from the trained classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ModelKind {
    /// Dynamic model: each text runs only as many layers as it needs
    Dynamic,
    /// Trained classifier: each text runs all layers
    Full,
}

impl TrainArguments {
    /// Type of the model: from the flag, or else from the task and the initial model.
    pub(super) fn kind(&self, start: &Start) -> ModelKind {
        let is_full = || start.saved().is_some_and(|model| matches!(model.model, ServedModel::Classifier(_)));
        self.kind.unwrap_or_else(|| if is_full() { ModelKind::Full } else { ModelKind::Dynamic })
    }

    /// Reason why the training run has no rungs (training stages); `None` if it has.
    pub(super) fn without_rungs(&self, start: &Start) -> Option<&'static str> {
        match start {
            Start::Scratch(_) => Some("an encoder from scratch knows nothing to start from"),
            _ if self.kind(start) == ModelKind::Full => Some("a model of the kind full is fine-tuned at once"),
            Start::Pretrained(_) | Start::Saved(..) => None,
        }
    }

    /// Returns whether the last layer is fitted on the frozen encoder before all layers are fine-tuned. This is done
    /// for regression models, and for multi-label models without exits.
    pub(super) fn fits_head(&self, start: &Start) -> bool {
        let is_full = self.kind(start) == ModelKind::Full;
        is_full && self.texts.task() != Task::Class && matches!(start, Start::Pretrained(_))
    }

    /// Returns whether the training run adds early exits without rungs (training stages).
    pub(super) fn makes_dynamic_at_once(&self, start: &Start) -> bool {
        self.kind(start) == ModelKind::Dynamic && self.without_rungs(start).is_some()
    }

    /// Prints a line, unless `--quiet` is set.
    pub(super) fn say(&self, line: &str) {
        if !self.quiet {
            report(line);
        }
    }

    /// Copies these arguments, with the task of the initial model if it is a saved model.
    pub(super) fn for_start(&self, start: &Start) -> Result<Self> {
        let mut texts = match start.saved() {
            Some(model) => self.texts.of_model(model.task(), model.origin.as_ref())?,
            None => self.texts.clone(),
        };
        texts.source.table.seed = self.seed;
        Ok(Self { texts, ..self.clone() })
    }

    /// Ordinal levels of the target numbers, for a regression model with exits: those of the initial model, or fitted
    /// to the training rows.
    pub(super) fn levels(&self, start: &Start, train: &EncodedDataset) -> Result<Option<NumberLevels>> {
        if self.texts.task() != Task::Number || self.kind(start) == ModelKind::Full {
            return Ok(None);
        }
        if let Some(levels) = start.saved().and_then(|model| model.levels.clone()) {
            return match self.texts.is_rating() && !levels.is_rating() {
                true => Err(Error::argument("task", "number, which the model was trained for", "rating")),
                false => Ok(Some(levels)),
            };
        }
        let numbers: Vec<f32> = train.samples.iter().flat_map(|sample| sample.targets.iter().copied()).collect();
        Ok(Some(NumberLevels::fit(&numbers, self.texts.is_rating())?))
    }

    /// Copies these arguments for a regression that is trained as several labels: whether the number is above each cut
    /// between two levels.
    pub(super) fn of_levels(&self) -> Self {
        let mut own = self.clone();
        own.texts.source.table.labels.task = Some(TaskChoice::Labels);
        own
    }

    /// Checks the flags. Returns the maximum length of texts in tokens.
    pub(super) fn check(&self, start: &Start) -> Result<usize> {
        self.speed.check()?;
        // Without exits, only the highest rung can be chosen.
        let only_rungs = self.fits_head(start) && self.rungs.training_budget.is_none() && self.rungs.minutes.is_none();
        self.rungs.check(self.without_rungs(start).filter(|_| !only_rungs))?;
        for (flag, count) in [("epochs", self.epochs), ("batch", Some(self.batch)), ("patience", self.patience)] {
            if count == Some(0) {
                return Err(Error::argument(flag, "at least 1", 0));
            }
        }
        self.lr.iter().try_for_each(LearningRate::check)?;
        self.named_weights()?;
        if !self.precision.trains() {
            return Err(Error::argument("precision", "f32, tf32 or bf16: int8 has no gradients", self.precision));
        }
        let config = start.config()?;
        self.check_kind(self.kind(start), config.num_hidden_layers)?;
        self.check_task(self.kind(start))?;
        let is_frozen = matches!(start, Start::Pretrained(_)) && self.texts.task() == Task::Class;
        if self.learning_curve && !is_frozen {
            let expected = "this flag left out: it is for a pre-trained encoder and one class for each text";
            return Err(Error::argument("learning-curve", expected, "set"));
        }
        let (least, most) = (if self.texts.is_pair() { 5 } else { 3 }, config.longest_text());
        let own = start.saved().map(|model| model.max_length);
        let max_length = self.max_length.or(own).unwrap_or(MAX_LENGTH.min(most));
        if !(least..=most).contains(&max_length) {
            return Err(Error::argument("max-length", format!("{least} to {most}, the model's positions"), max_length));
        }
        Ok(max_length)
    }

    /// Maximum lengths to try, in ascending order; `None` if there is only one. `encoded` has the training texts,
    /// truncated to the default length, and `most` is the model's number of positions.
    pub(super) fn lengths(&self, start: &Start, encoded: &EncodedDataset, most: usize) -> Option<Vec<usize>> {
        let is_long = encoded.truncated_rows as f64 > LONG_SHARE * encoded.len() as f64;
        if self.max_length.is_some()
            || start.saved().is_some()
            || self.without_rungs(start).is_some()
            || !is_long
            || most <= MAX_LENGTH
        {
            return None;
        }
        let mut lengths = vec![MAX_LENGTH];
        lengths.extend(LONGER.map(|length| length.min(most)));
        lengths.dedup();
        Some(lengths)
    }

    /// Rejects a number of layers above `all`, the number of the encoder's layers. Also rejects flags that the type of
    /// the model does not allow.
    fn check_kind(&self, kind: ModelKind, all: usize) -> Result<()> {
        let layers = self.layers.unwrap_or(all);
        if !(1..=all).contains(&layers) {
            return Err(Error::argument("layers", format!("1 to {all}"), layers));
        }
        if kind == ModelKind::Dynamic && layers < 2 {
            let rest = "or --kind full: one layer leaves nothing to choose";
            return Err(match self.layers {
                Some(_) => Error::argument("layers", format!("at least 2, {rest}"), layers),
                None => Error::argument("model", format!("one of at least 2 layers, {rest}"), &self.model),
            });
        }
        let has_speed = self.speed.budget.is_some() || self.speed.points.is_some();
        if self.kind.is_none() && kind == ModelKind::Full && has_speed {
            let (flag, value) =
                self.speed.budget.map_or(("points", self.speed.points), |budget| ("budget", Some(budget)));
            let expected = "this flag left out: the model will run all its layers for each text";
            return Err(Error::argument(flag, expected, value.unwrap_or_default()));
        }
        if kind == ModelKind::Full && has_speed {
            return Err(Error::argument("kind", "dynamic, with --budget or --points", "full"));
        }
        Ok(())
    }

    /// Rejects flags that are only for classifiers with one class per text.
    fn check_task(&self, kind: ModelKind) -> Result<()> {
        if self.label_thresholds != ThresholdChoice::Half && self.texts.task() != Task::Labels {
            let expected = "this flag left out: only models of several labels have thresholds";
            return Err(Error::argument("label-thresholds", expected, "f1"));
        }
        if self.label_thresholds != ThresholdChoice::Half && self.speed.points.is_some() {
            let expected = "half: with --points the thresholds must not depend on held-out rows";
            return Err(Error::argument("label-thresholds", expected, "f1"));
        }
        let of = match self.texts.task() {
            Task::Class => return Ok(()),
            Task::Labels => "several for each text",
            Task::Number => "numbers",
        };
        let data = self.texts.source.data.display();
        if let Some(points) = self.speed.points.filter(|_| self.texts.task() == Task::Number) {
            let expected = format!("this flag left out: the labels of {data} are {of}, without points of accuracy");
            return Err(Error::argument("points", expected, points));
        }
        if kind == ModelKind::Full && self.texts.is_rating() {
            return Err(Error::argument("kind", "dynamic, which ratings require", "full"));
        }
        let weights = [("balanced", self.balanced.then_some("set")), ("class-weight", self.named_class())];
        if let Some((flag, Some(got))) = weights.into_iter().find(|(_, got)| got.is_some()) {
            let instead =
                if self.texts.task() == Task::Labels { ", or --label-thresholds f1 in its place" } else { "" };
            let expected = format!("this flag left out{instead}: the labels of {data} are {of}");
            return Err(Error::argument(flag, expected, got));
        }
        Ok(())
    }

    /// First value of `--class-weight`.
    fn named_class(&self) -> Option<&str> {
        self.class_weight.first().map(String::as_str)
    }

    /// Rejects data with too few rows for fitting exits, before training.
    pub(super) fn check_rows(&self, texts: &TextSplits, start: &Start) -> Result<()> {
        let (got, least) = (texts.train.len(), Texts::LEAST);
        if self.makes_dynamic_at_once(start) && got < least {
            let what = "rows to train on (--kind full takes fewer)";
            return Err(Error::TooLittle { data: texts.train.name.clone(), what, least, got });
        }
        Ok(())
    }

    /// Tokenizer of the model, with the prefix of `--text-prefix`. It keeps the tokens beyond the maximum length, for
    /// the n-gram classifier.
    pub(super) fn tokenizer(&self, start: &Start, train: &Dataset) -> Result<TextTokenizer> {
        let tokenizer = start.tokenizer(train)?.with_rest(REST);
        Ok(match &self.text_prefix {
            Some(prefix) => tokenizer.with_prefix(prefix),
            None => tokenizer,
        })
    }

    pub(super) fn read_texts(&self, start: &Start) -> Result<TextSplits> {
        self.texts.read_splits(&SplitRequest {
            classes: match start.saved() {
                Some(model) => Classes::Extended(&model.labels, model.origin.as_ref()),
                None => Classes::OfRows,
            },
            also: &self.also,
            rows: self.train_rows,
            validation: None,
            keep: &|rows| self.speed.rows_to_keep(rows),
            keep_of_validation: &|rows| self.speed.rows_to_keep_of_validation(rows),
            seed: self.seed,
        })
    }

    /// Description of the training run: everything that its result depends on. Saved state with another description
    /// cannot be resumed. `--rungs` and `--minutes` are not part of it, since a resumed run may change them.
    /// `max_length` is `None` if trials select the maximum length.
    pub(super) fn settings(
        &self,
        start: &Start,
        texts: &EncodedSplits,
        max_length: Option<usize>,
    ) -> Result<Map<String, serde_json::Value>> {
        let named = self.named_weights()?;
        let weights: BTreeMap<&str, String> =
            named.into_iter().map(|(name, weight)| (name, weight.to_string())).collect();
        let settings = json!({
            "model": start.identity()?,
            "layers": self.layers,
            "max_length": max_length,
            "epochs": self.epochs,
            "training_budget": self.rungs.training_budget,
            "patience": self.patience,
            "batch": self.batch,
            "lr": self.lr.as_ref().map(LearningRate::to_string),
            "balanced": self.balanced,
            "class_weights": (!weights.is_empty()).then_some(weights),
            "precision": self.precision.to_string(),
            "seed": self.seed,
            "texts": texts.train.sha256(),
            "validation": texts.validation.sha256(),
            "calibration": texts.calibration.as_ref().map(EncodedDataset::sha256),
        });
        Ok(settings.as_object().cloned().unwrap_or_default())
    }

    pub(super) fn train_settings(&self, start: &Start) -> TrainSettings {
        let learning_rate = match self.lr {
            Some(LearningRate::Given(rate)) => rate,
            _ => start.learning_rate(),
        };
        let optimizer = AdamWSettings { learning_rate, ..AdamWSettings::default() };
        let optimizer = match start {
            // From scratch, a smaller β₂ learns faster within the first few hundred steps.
            Start::Scratch(_) => AdamWSettings { beta2: 0.98, ..optimizer },
            Start::Pretrained(_) | Start::Saved(..) => optimizer,
        };
        TrainSettings {
            epochs: self.epochs.unwrap_or(if self.without_rungs(start).is_none() { RUNG_EPOCHS } else { EPOCHS }),
            patience: self.patience,
            batch_size: self.batch,
            seed: self.seed,
            optimizer,
            ..TrainSettings::default()
        }
    }
}
