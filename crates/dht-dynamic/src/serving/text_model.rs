//! A model with what it takes to read texts as its training did: what is saved, and what a service loads.

use dht_transformer::TextTokenizer;
use dht_transformer::config::check_class_names;
use dht_transformer::data::Reading;
use serde::{Deserialize, Serialize};

use super::served::ServedModel;
use crate::error::{Error, Result};
use crate::evaluation::SpeedPoint;

/// A model, its tokenizer, the names of its classes, and how it reads texts. [`save`](Self::save) writes it as one directory. A clone
/// is another handle on the same weights.
#[derive(Debug, Clone)]
pub struct TextModel {
    /// The model.
    pub model: ServedModel,
    /// Its tokenizer, which also says how many tokens beyond the maximal length an exit before the first layer reads
    /// ([`TextTokenizer::with_rest`]).
    pub tokenizer: TextTokenizer,
    /// The names of its classes or labels, by index; of a value, the name of what it measures.
    pub labels: Vec<String>,
    /// The maximal number of tokens of a text, special ones included, in training as in service.
    pub max_length: usize,
    /// What its speeds cost and get on texts that they were not fitted on, from the most expensive to the cheapest; empty for
    /// a model of one speed.
    pub curve: Vec<SpeedPoint>,
    /// What it was trained on, where that is known.
    pub origin: Option<Origin>,
    /// What its speed promises, where it promises something.
    pub promise: Option<KeptPromise>,
}

/// What a model was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The data set.
    pub data: String,
    /// The rows that weights, exits and n-gram classifier were fitted on.
    pub rows: usize,
    /// The SHA-256 of the file of these rows.
    pub sha256: String,
    /// The reading of its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Reading>,
    /// Whether its texts are pairs.
    #[serde(default)]
    pub pair: bool,
}

/// A promise that calibration texts show to be kept; see [`with_promise`](crate::evaluation::with_promise).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptPromise {
    /// Whether it is about the share of answers that differ from the full model's; else about the accuracy that is lost.
    pub disagreement: bool,
    /// The limit: .01 is one point.
    pub most: f64,
    /// The probability that it holds, over the draw of the calibration texts.
    pub confidence: f64,
    /// The calibration texts.
    pub rows: usize,
    /// What they lost.
    pub observed: f64,
    /// The speed that keeps it.
    pub speed: f64,
}

impl TextModel {
    /// A model that reads texts of at most `max_length` tokens.
    ///
    /// # Errors
    /// [`Error::Setting`] for another number of labels than outputs, and for a length of no token or beyond the model's
    /// positions; [`Error::Transformer`] for two equal labels, and for a tokenizer with more tokens than the model.
    pub fn new(
        model: impl Into<ServedModel>,
        tokenizer: TextTokenizer,
        labels: &[String],
        max_length: usize,
    ) -> Result<Self> {
        let (model, labels) = (model.into(), labels.to_vec());
        let model = Self { model, tokenizer, labels, max_length, curve: Vec::new(), origin: None, promise: None };
        model.check()?;
        Ok(model)
    }

    /// Refuses parts that do not fit together.
    pub(super) fn check(&self) -> Result<()> {
        let outputs = self.model.outputs();
        if self.labels.len() != outputs {
            return Err(Error::setting("labels", format!("the names of {outputs} outputs"), self.labels.len()));
        }
        check_class_names(&self.labels)?;
        let config = self.model.config();
        self.tokenizer.check_fits(config)?;
        let most = config.longest_text();
        if self.max_length > most {
            return Err(Error::setting("max_length", format!("at most the model's {most} positions"), self.max_length));
        }
        self.tokenizer.encode("", None, self.max_length)?;
        Ok(())
    }

    /// The speed that costs most within a share of the full model's FLOPs; `None` where all cost more, and for a model of one
    /// speed.
    pub fn speed_within(&self, flops_ratio: f64) -> Option<SpeedPoint> {
        self.curve.iter().find(|point| point.flops_ratio <= flops_ratio).copied()
    }
}
