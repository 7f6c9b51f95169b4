//! Pooling of a classifier, and its field in `config.json`.

use serde::{Deserialize, Serialize};

use super::bert_config::BertConfig;
use crate::error::{Error, Result};

/// Pooling of the hidden states of a sample's tokens into one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// State of the first token, `[CLS]`.
    Cls,
    /// State of the first token after a dense layer and tanh: BERT's pooler. DistilBERT has a ReLU instead of tanh.
    ///
    /// The name of this layer in files depends on the family: `pooler.dense`, `pre_classifier`, `classifier.dense`.
    Pooler,
    /// Mean of the states of all tokens.
    #[default]
    Mean,
}

/// Field of `config.json` that only this crate has; without it, a classifier has a pooler.
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
