//! Pooling of a classifier, and its field in `config.json`.

use serde::{Deserialize, Serialize};

use super::bert_config::BertConfig;
use crate::error::{Error, Result};

/// Pooling of a sample's rows into one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The first row, the state of `[CLS]`.
    Cls,
    /// The first row through a dense layer and tanh: BERT's pooler (in DistilBERT a relu).
    ///
    /// The name of this layer in files depends on the family: `pooler.dense`, `pre_classifier`, `classifier.dense`.
    Pooler,
    /// The mean of all rows.
    #[default]
    Mean,
}

/// This crate's own field of `config.json`; without it, a classifier has a pooler.
const FIELD: &str = "classifier_pooling";

impl Pooling {
    /// Reads the pooling of a directory's classifier from `config.json`.
    pub(crate) fn of_config(config: &BertConfig) -> Result<Self> {
        let Some(value) = config.other.get(FIELD) else { return Ok(Self::Pooler) };
        serde_json::from_value(value.clone())
            .map_err(|_| Error::argument(FIELD, r#""cls", "mean" or "pooler""#, value.to_string()))
    }

    /// Writes the pooling to `config.json`.
    pub(crate) fn describe(self, config: &mut BertConfig) {
        match self {
            Self::Pooler => config.other.remove(FIELD),
            Self::Cls => config.other.insert(FIELD.into(), "cls".into()),
            Self::Mean => config.other.insert(FIELD.into(), "mean".into()),
        };
    }
}
