//! Trained model with its tokenizer, its class names and its settings for texts.

use std::borrow::Cow;

use dht_transformer::data::Reading;
use dht_transformer::train::metrics::LabelThresholds;
use dht_transformer::{BertConfig, EncodedDataset, Task, TextTokenizer};
use serde::{Deserialize, Serialize};

use super::served::ServedModel;
use crate::error::{Error, Result};
use crate::evaluation::{Guarantee, Promise, Promised, Risk, SpeedPoint};
use crate::number_levels::NumberLevels;

/// Trained model with everything that serving needs: tokenizer, class names and maximum text length.
/// [`save`](Self::save) writes the model as one directory. A clone is another handle on the same weights.
#[derive(Debug, Clone)]
pub struct TextModel {
    /// Trained classifier or model with early exits.
    pub model: ServedModel,
    /// Tokenizer. It also sets how many tokens beyond the maximal length an n-gram classifier reads
    /// ([`TextTokenizer::with_rest`]).
    pub tokenizer: TextTokenizer,
    /// Names of the classes or labels, by index; for a regression model, the name of the predicted quantity.
    pub labels: Vec<String>,
    /// Maximum number of tokens of a text in training and in serving, special tokens included.
    pub max_length: usize,
    /// Cost and accuracy of each speed (exit threshold), from the most expensive to the cheapest. They are measured on
    /// texts that were not used to fit the exits. Empty for a model that always runs all layers, and for a
    /// [new](Self::new) model: assign the [curve](crate::accelerate::Report::curve) of the acceleration.
    pub curve: Vec<SpeedPoint>,
    /// Description of the training data, if known.
    pub origin: Option<Origin>,
    /// Statistical bound on the loss of accuracy, or on the disagreement with the full model, at the model's speed;
    /// `None` without a bound.
    pub promise: Option<KeptPromise>,
    /// Minimum probability for each label to apply, for a multi-label model; `None` for ½.
    pub thresholds: Option<LabelThresholds>,
    /// Ordinal levels, for a model with early exits that predicts a number; see [`with_levels`](Self::with_levels).
    pub levels: Option<NumberLevels>,
}

/// Description of the data that a model was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Name of the data set.
    pub data: String,
    /// Number of rows that the weights, exits and n-gram classifier were fitted on.
    pub rows: usize,
    /// SHA-256 checksum of the file with the training rows.
    pub sha256: String,
    /// Columns that were read from the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Reading>,
    /// True if the texts are pairs.
    #[serde(default)]
    pub pair: bool,
}

/// Statistical bound that holds for a model at its speed: on the loss of accuracy, or on the disagreement with the full
/// model. See [`DynamicModel::with_promise`](crate::DynamicModel::with_promise).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptPromise {
    /// True if the bound limits the share of predictions that differ from the full model's; false if it limits the loss
    /// of accuracy.
    pub disagreement: bool,
    /// Upper limit of the risk (loss of accuracy or disagreement); .01 is one percentage point.
    pub most: f64,
    /// Probability that the bound holds, over random draws of the calibration texts.
    pub confidence: f64,
    /// Number of calibration texts.
    pub rows: usize,
    /// Loss of accuracy or disagreement observed on the calibration texts.
    pub observed: f64,
    /// Speed (exit threshold) for which the bound was proven.
    pub speed: f64,
}

impl KeptPromise {
    /// Converts a bound that was proven on calibration texts into the form of [`TextModel::promise`]. `None` for a
    /// guarantee in expectation, which has no confidence.
    pub fn new(promise: Promise, shown: &Promised) -> Option<Self> {
        let Promised { rows, observed, threshold: speed, .. } = *shown;
        let Guarantee::Confidence(confidence) = promise.guarantee else { return None };
        let disagreement = promise.risk == Risk::Disagreement;
        Some(Self { disagreement, most: promise.most, confidence, rows, observed, speed })
    }
}

impl TextModel {
    /// Builds a model that reads texts of at most `max_length` tokens, special tokens included. The fields `curve`,
    /// `origin`, `promise` and `thresholds` are left empty: assign those that are known. The [module
    /// `accelerate`](mod@crate::accelerate) has an example.
    ///
    /// # Errors
    /// * [`Error::Argument`] if the number of labels differs from the number of outputs.
    /// * [`Error::Argument`] if `max_length` is 0 or beyond the model's positions.
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

    /// Builds a model with the default maximum length of texts, as documented at [`Engine::new`](crate::Engine::new).
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

    /// Turns a multi-label model into a regression model. Each output is then the probability that the number is above
    /// a cut between two levels. `quantity` is the name of the number. The thresholds of labels are removed.
    ///
    /// # Errors
    /// [`Error::Argument`] if the model is not multi-label, or if the number of outputs differs from the number of cuts
    /// between levels.
    pub fn with_levels(self, levels: NumberLevels, quantity: &str) -> Result<Self> {
        let model = Self { labels: vec![quantity.into()], levels: Some(levels), thresholds: None, ..self };
        model.check()?;
        Ok(model)
    }

    /// Task of the predictions: regression if the model has [levels](Self::levels), otherwise the task of the model.
    pub fn task(&self) -> Task {
        if self.levels.is_some() { Task::Number } else { self.model.task() }
    }

    /// Converts the targets of encoded texts to targets of the model's outputs. If the model has ordinal
    /// [levels](Self::levels), each number becomes one target for each cut between levels.
    pub fn output_texts<'a>(&self, texts: &'a EncodedDataset) -> Cow<'a, EncodedDataset> {
        self.levels.as_ref().map_or(Cow::Borrowed(texts), |levels| Cow::Owned(levels.encode(texts)))
    }

    /// Names of the model's outputs, by index: the [labels](Self::labels), or for a model with [levels](Self::levels)
    /// the names of the cuts between levels.
    pub fn output_names(&self) -> Vec<String> {
        self.levels.as_ref().map_or_else(|| self.labels.clone(), NumberLevels::labels)
    }

    /// Rejects a model whose parts do not match, such as its labels, tokenizer and maximum length.
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

    /// Most expensive speed that [costs at most](SpeedPoint::costs_at_most) `flops_ratio` times the full model's FLOPs.
    /// `None` if every speed costs more, or the [curve](Self::curve) is empty.
    pub fn speed_within(&self, flops_ratio: f64) -> Option<SpeedPoint> {
        self.curve.iter().find(|point| point.costs_at_most(flops_ratio)).copied()
    }
}
