//! Trained model with its tokenizer, class names and settings for reading texts.

use std::borrow::Cow;

use dht_transformer::data::Reading;
use dht_transformer::train::metrics::LabelThresholds;
use dht_transformer::{BertConfig, EncodedDataset, Task, TextTokenizer};
use serde::{Deserialize, Serialize};

use super::number_levels::NumberLevels;
use super::served::ServedModel;
use crate::error::{Error, Result};
use crate::evaluation::{Guarantee, Promise, Promised, Risk, SpeedPoint};

/// Trained model with its tokenizer, its class names and its limit of tokens: everything that serving needs.
/// [`save`](Self::save) writes the model as one directory. A clone is another handle on the same weights.
#[derive(Debug, Clone)]
pub struct TextModel {
    /// Trained model, of any kind that can be served.
    pub model: ServedModel,
    /// Tokenizer, which also defines the number of tokens beyond the maximal length that an n-gram exit reads
    /// ([`TextTokenizer::with_rest`]).
    pub tokenizer: TextTokenizer,
    /// Names of the classes or labels, by index; for a model of numbers, the name of the predicted quantity.
    pub labels: Vec<String>,
    /// Maximal number of tokens of a text in training and in serving, special tokens included.
    pub max_length: usize,
    /// Cost and accuracy of each speed, from the most expensive to the cheapest, on texts that were not used to fit the
    /// speeds. Empty for a model with a single speed, and for a [new](Self::new) model: assign the
    /// [curve](crate::accelerate::Report::curve) of the acceleration.
    pub curve: Vec<SpeedPoint>,
    /// Training data of the model, if known.
    pub origin: Option<Origin>,
    /// Statistical bound on the risk at the model's speed, if there is one.
    pub promise: Option<KeptPromise>,
    /// Probability at which each label applies, for a multi-label model; `None` for ½.
    pub thresholds: Option<LabelThresholds>,
    /// For a model of numbers with exits, the levels of the number between which the outputs decide; see
    /// [`with_levels`](Self::with_levels).
    pub levels: Option<NumberLevels>,
}

/// Training data of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Name of the data set.
    pub data: String,
    /// Number of rows that the weights, exits and n-gram classifier were fitted on.
    pub rows: usize,
    /// SHA-256 checksum of the file with the training rows.
    pub sha256: String,
    /// Columns read from the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Reading>,
    /// True if the texts are pairs.
    #[serde(default)]
    pub pair: bool,
}

/// Bound on the loss of accuracy or on the disagreement with the full model, proven on calibration texts; see
/// [`DynamicModel::with_promise`](crate::DynamicModel::with_promise).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptPromise {
    /// True if the bound limits the share of answers that differ from the full model's; otherwise, the bound limits the
    /// loss of accuracy.
    pub disagreement: bool,
    /// Limit of the risk; .01 is one percentage point.
    pub most: f64,
    /// Probability that the bound holds, over the draw of the calibration texts.
    pub confidence: f64,
    /// Number of calibration texts.
    pub rows: usize,
    /// Observed risk on the calibration texts.
    pub observed: f64,
    /// Speed at which the bound holds.
    pub speed: f64,
}

impl KeptPromise {
    /// Converts a promise that was proven on calibration texts into the form of [`TextModel::promise`]. `None` for a
    /// guarantee in expectation, which has no confidence.
    pub fn new(promise: Promise, shown: &Promised) -> Option<Self> {
        let Promised { rows, observed, threshold: speed, .. } = *shown;
        let Guarantee::Confidence(confidence) = promise.guarantee else { return None };
        let disagreement = promise.risk == Risk::Disagreement;
        Some(Self { disagreement, most: promise.most, confidence, rows, observed, speed })
    }
}

impl TextModel {
    /// Builds a model that reads texts of at most `max_length` tokens, special tokens included. The curve is
    /// empty, and origin, promise and thresholds are `None`: assign the fields that are known. The [module
    /// `accelerate`](mod@crate::accelerate) has a program.
    ///
    /// # Errors
    /// * [`Error::Argument`] if the number of labels differs from the number of outputs.
    /// * [`Error::Argument`] if the length is 0 or beyond the model's positions.
    /// * [`Error::Transformer`] if two labels are equal, or the tokenizer has more tokens than the model.
    pub fn new(
        model: impl Into<ServedModel>,
        tokenizer: TextTokenizer,
        labels: &[String],
        max_length: usize,
    ) -> Result<Self> {
        let (model, labels) = (model.into(), labels.to_vec());
        let (curve, origin, promise, thresholds, levels) = (Vec::new(), None, None, None, None);
        let model = Self { model, tokenizer, labels, max_length, curve, origin, promise, thresholds, levels };
        model.check()?;
        Ok(model)
    }

    /// Builds a model whose training length is unknown, as [`Engine::new`](crate::Engine::new).
    pub(super) fn with_default_length(
        model: impl Into<ServedModel>,
        tokenizer: TextTokenizer,
        labels: &[String],
    ) -> Result<Self> {
        let model = model.into();
        let most = model.config().longest_text();
        let max_length = tokenizer.model_max_length().map_or(most, |length| length.min(most));
        Self::new(model, tokenizer, labels, max_length)
    }

    /// Turns a model of several labels into a model of a number: each output is the probability that the number lies
    /// above a cut between two levels. `quantity` is the name of the number. The thresholds of labels are removed.
    ///
    /// # Errors
    /// [`Error::Argument`] for a model that is not one of several labels, and if the number of outputs differs from the
    /// number of cuts between levels.
    pub fn with_levels(self, levels: NumberLevels, quantity: &str) -> Result<Self> {
        let model = Self { labels: vec![quantity.into()], levels: Some(levels), thresholds: None, ..self };
        model.check()?;
        Ok(model)
    }

    /// Task of the answers: the task of the model, or the task of numbers if the model has [levels](Self::levels).
    pub fn task(&self) -> Task {
        if self.levels.is_some() { Task::Number } else { self.model.task() }
    }

    /// Converts encoded texts to the targets of the model's outputs: if the model has [levels](Self::levels), numbers
    /// become targets of the levels.
    pub fn output_texts<'a>(&self, texts: &'a EncodedDataset) -> Cow<'a, EncodedDataset> {
        self.levels.as_ref().map_or(Cow::Borrowed(texts), |levels| Cow::Owned(levels.encode(texts)))
    }

    /// Names of the model's outputs, by index: the [labels](Self::labels), or for a model with [levels](Self::levels)
    /// the names of the levels' cuts.
    pub fn output_names(&self) -> Vec<String> {
        self.levels.as_ref().map_or_else(|| self.labels.clone(), NumberLevels::labels)
    }

    /// Rejects a model whose labels, tokenizer, length or other fields do not fit together.
    pub(super) fn check(&self) -> Result<()> {
        let outputs = self.model.outputs();
        if let Some(levels) = &self.levels {
            if self.model.task() != Task::Labels {
                return Err(Error::argument("levels", "none: the model does not give several labels", "some"));
            }
            levels.check(outputs)?;
        }
        let names = if self.levels.is_some() { 1 } else { outputs };
        if self.labels.len() != names {
            return Err(Error::shape("labels", format!("the names of {names} outputs"), self.labels.len()));
        }
        BertConfig::check_class_names(&self.labels)?;
        if let Some(thresholds) = &self.thresholds {
            if self.task() != Task::Labels {
                return Err(Error::argument("thresholds", "none: the model does not give several labels", "some"));
            }
            thresholds.check(outputs)?;
        }
        let config = self.model.config();
        self.tokenizer.check_fits(config)?;
        let most = config.longest_text();
        if self.max_length > most {
            return Err(Error::argument(
                "max_length",
                format!("at most the model's {most} positions"),
                self.max_length,
            ));
        }
        self.tokenizer.encode("", None, self.max_length)?;
        Ok(())
    }

    /// Most expensive speed that [costs at most](SpeedPoint::costs_at_most) a share of the full model's FLOPs. `None`
    /// if every speed costs more, or the [curve](Self::curve) is empty.
    pub fn speed_within(&self, flops_ratio: f64) -> Option<SpeedPoint> {
        self.curve.iter().find(|point| point.costs_at_most(flops_ratio)).copied()
    }
}
