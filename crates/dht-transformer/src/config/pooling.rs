//! Pooling of hidden states for a classifier, and its field in `config.json`.

use serde::{Deserialize, Serialize};

use super::bert_config::BertConfig;
use crate::error::{Error, Result};

/// Method that combines the hidden states of a text's tokens into one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Hidden state of the first token, `[CLS]`.
    Cls,
    /// Hidden state of the first token after a dense layer and tanh (in DistilBERT, ReLU): BERT's pooler.
    ///
    /// The name of the dense layer in files depends on the model family: `pooler.dense`, `pre_classifier` or
    /// `classifier.dense`.
    Pooler,
    /// Mean of the hidden states of all tokens.
    #[default]
    Mean,
}

/// Name of a `config.json` field that only this crate uses. A classifier without this field has a pooler.
const FIELD: &str = "classifier_pooling";

impl Pooling {
    /// Reads the pooling of a classifier from its `config.json`.
    pub(crate) fn of_config(config: &BertConfig) -> Result<Self> {
        let Some(value) = config.other.get(FIELD) else { return Ok(Self::Pooler) };
        serde_json::from_value(value.clone())
            .map_err(|_| Error::argument(FIELD, r#""cls", "mean" or "pooler""#, value.to_string()))
    }

    /// Stores the pooling of a classifier in its `config.json`.
    pub(crate) fn describe(self, config: &mut BertConfig) {
        match self {
            Self::Pooler => config.other.remove(FIELD),
            Self::Cls => config.other.insert(FIELD.into(), "cls".into()),
            Self::Mean => config.other.insert(FIELD.into(), "mean".into()),
        };
    }
}
