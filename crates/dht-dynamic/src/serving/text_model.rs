//! A model with everything that is needed to read texts as in its training.

use dht_transformer::data::Reading;
use dht_transformer::train::metrics::LabelThresholds;
use dht_transformer::{BertConfig, Task, TextTokenizer};
use serde::{Deserialize, Serialize};

use super::served::ServedModel;
use crate::error::{Error, Result};
use crate::evaluation::{Guarantee, Promise, Promised, Risk, SpeedPoint};

/// A model, its tokenizer, the names of its classes, and the way it reads texts. [`save`](Self::save) writes it as one
/// directory. A clone is another handle on the same weights.
#[derive(Debug, Clone)]
pub struct TextModel {
    /// Model.
    pub model: ServedModel,
    /// The tokenizer, which also defines the number of tokens beyond the maximal length that an n-gram exit reads
    /// ([`TextTokenizer::with_rest`]).
    pub tokenizer: TextTokenizer,
    /// The names of the classes or labels, by index; for a regression model, the name of its quantity.
    pub labels: Vec<String>,
    /// The maximal number of tokens of a text, special ones included, in training and in service.
    pub max_length: usize,
    /// Cost and accuracy of the speeds on texts that they were not fitted on, from the most expensive to the cheapest.
    /// Empty for a model with a single speed, and for a [new](Self::new) model: assign the
    /// [curve](crate::accelerate::Report::curve) of the acceleration.
    pub curve: Vec<SpeedPoint>,
    /// The training data, where it is known.
    pub origin: Option<Origin>,
    /// The risk bound of the model's speed, where it has one.
    pub promise: Option<KeptPromise>,
    /// For a model of several labels, the probability at which each label applies; `None` for a half.
    pub thresholds: Option<LabelThresholds>,
}

/// Training data of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Name of the data set.
    pub data: String,
    /// The number of rows that weights, exits and n-gram classifier were fitted on.
    pub rows: usize,
    /// SHA-256 checksum of the file of these rows.
    pub sha256: String,
    /// Columns read from the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Reading>,
    /// True if the texts are pairs.
    #[serde(default)]
    pub pair: bool,
}

/// Risk bound proven on calibration texts; see [`DynamicModel::with_promise`](crate::DynamicModel::with_promise).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptPromise {
    /// True if it bounds the share of answers that differ from the full model's; otherwise it bounds the accuracy loss.
    pub disagreement: bool,
    /// The limit: .01 is one point.
    pub most: f64,
    /// The probability that it holds, over the draw of the calibration texts.
    pub confidence: f64,
    /// Number of calibration texts.
    pub rows: usize,
    /// Observed risk of the calibration texts.
    pub observed: f64,
    /// The speed at which it holds.
    pub speed: f64,
}

impl KeptPromise {
    /// The bound of a promise that calibration texts have shown, for [`TextModel::promise`]. `None` for a guarantee of
    /// the mean, which has no confidence.
    pub fn new(promise: Promise, shown: &Promised) -> Option<Self> {
        let Promised { rows, observed, threshold: speed, .. } = *shown;
        let Guarantee::Confidence(confidence) = promise.guarantee else { return None };
        let disagreement = promise.risk == Risk::Disagreement;
        Some(Self { disagreement, most: promise.most, confidence, rows, observed, speed })
    }
}

impl TextModel {
    /// Builds a model that reads texts of at most `max_length` tokens, special ones included. Its curve is empty, and
    /// its origin, promise and thresholds are `None`: assign these fields where they are known. The [module
    /// `accelerate`](mod@crate::accelerate) has a program.
    ///
    /// # Errors
    /// [`Error::Argument`] for a number of labels that differs from the number of outputs, and for a length that is 0
    /// or beyond the model's positions; [`Error::Transformer`] for two equal labels, and for a tokenizer with more
    /// tokens than the model.
    pub fn new(
        model: impl Into<ServedModel>,
        tokenizer: TextTokenizer,
        labels: &[String],
        max_length: usize,
    ) -> Result<Self> {
        let (model, labels) = (model.into(), labels.to_vec());
        let (curve, origin, promise, thresholds) = (Vec::new(), None, None, None);
        let model = Self { model, tokenizer, labels, max_length, curve, origin, promise, thresholds };
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

    /// Rejects parts that do not fit together.
    pub(super) fn check(&self) -> Result<()> {
        let outputs = self.model.outputs();
        if self.labels.len() != outputs {
            return Err(Error::shape("labels", format!("the names of {outputs} outputs"), self.labels.len()));
        }
        BertConfig::check_class_names(&self.labels)?;
        if let Some(thresholds) = &self.thresholds {
            if self.model.task() != Task::Labels {
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

    /// The most expensive speed that [costs at most](SpeedPoint::costs_at_most) a share of the full model's FLOPs; `None`
    /// where all cost more, and where the [curve](Self::curve) is empty.
    pub fn speed_within(&self, flops_ratio: f64) -> Option<SpeedPoint> {
        self.curve.iter().find(|point| point.costs_at_most(flops_ratio)).copied()
    }
}
