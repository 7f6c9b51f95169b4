//! Validated configuration of a BERT-family encoder.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::activation::Activation;
use super::family::Family;
use crate::account::config_refusals;
use crate::error::{Error, Result};
use crate::storage::write_atomically;

/// Shape and settings of a BERT-family encoder, as stored in a Hugging Face `config.json`.
///
/// Fields have BERT's names. [`from_json`](Self::from_json) and [`to_json`](Self::to_json) translate the names of other
/// model [families](Family). Unknown fields are stored and written back.
///
/// # Examples
/// ```
/// use dht_transformer::BertConfig;
///
/// let config = BertConfig::small(2, 4, 16, 1000)?.with_dropout(0.0);
/// assert_eq!((config.head_size(), config.longest_text()), (4, 512));
/// let read = BertConfig::from_json("config.json", config.to_json()?.as_bytes())?;
/// assert_eq!(read, config);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BertConfig {
    /// Model family, which determines the names of fields and tensors in files.
    #[serde(rename = "model_type", default)]
    pub family: Family,
    /// Size of the vocabulary: number of rows of the word embedding.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads of each layer. It must divide `hidden_size`.
    pub num_attention_heads: usize,
    /// Width of the hidden layer in each feed-forward block.
    pub intermediate_size: usize,
    /// Number of rows of the position embedding, which limits the length of a text in tokens.
    #[serde(default = "usual::max_position_embeddings")]
    pub max_position_embeddings: usize,
    /// Number of rows of the token type embedding. Token types distinguish the first and second text of a pair.
    #[serde(default = "usual::type_vocab_size")]
    pub type_vocab_size: usize,
    /// Constant ε that layer normalisation adds to the variance.
    #[serde(default = "usual::layer_norm_eps")]
    pub layer_norm_eps: f64,
    /// Dropout probability of hidden states.
    #[serde(default = "usual::dropout")]
    pub hidden_dropout_prob: f64,
    /// Dropout probability of attention weights.
    #[serde(default = "usual::dropout")]
    pub attention_probs_dropout_prob: f64,
    /// Activation function of the feed-forward blocks.
    #[serde(default)]
    pub hidden_act: Activation,
    /// Id of the padding token, `[PAD]`.
    #[serde(default)]
    pub pad_token_id: u32,
    /// Standard deviation of randomly initialised weights.
    #[serde(default = "usual::initializer_range")]
    pub initializer_range: f64,
    /// Fields of `config.json` without a field in this type. They are written back unchanged.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Default values of Hugging Face's `BertConfig` for missing fields.
pub(super) mod usual {
    pub(crate) fn max_position_embeddings() -> usize {
        512
    }
    pub(crate) fn type_vocab_size() -> usize {
        2
    }
    pub(crate) fn layer_norm_eps() -> f64 {
        1e-12
    }
    pub(crate) fn dropout() -> f64 {
        0.1
    }
    pub(crate) fn initializer_range() -> f64 {
        0.02
    }
}

impl BertConfig {
    /// Creates the configuration of a small encoder to be trained from scratch. The feed-forward blocks have width 4 ×
    /// `hidden`, a text has at most 512 tokens, and all dropout probabilities are 0.1.
    ///
    /// # Errors
    /// Errors of [`check`](Self::check).
    pub fn small(layers: usize, heads: usize, hidden: usize, vocab_size: usize) -> Result<Self> {
        let config = Self {
            family: Family::Bert,
            vocab_size,
            hidden_size: hidden,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            intermediate_size: hidden.saturating_mul(4),
            max_position_embeddings: usual::max_position_embeddings(),
            type_vocab_size: usual::type_vocab_size(),
            layer_norm_eps: usual::layer_norm_eps(),
            hidden_dropout_prob: usual::dropout(),
            attention_probs_dropout_prob: usual::dropout(),
            hidden_act: Activation::Gelu,
            pad_token_id: 0,
            // BERT's .02 suits a width of some hundreds; narrower rows require larger weights to be mixed at all.
            initializer_range: 1.0 / (hidden.max(1) as f64).sqrt(),
            other: Map::new(),
        };
        config.check()?;
        Ok(config)
    }

    /// Sets all dropout probabilities. A probability of 0 suits small encoders that are trained for few steps.
    #[must_use]
    pub fn with_dropout(self, probability: f64) -> Self {
        Self { hidden_dropout_prob: probability, attention_probs_dropout_prob: probability, ..self }
    }

    /// Width of an attention head: `hidden_size` / `num_attention_heads`.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Maximum length of a text in tokens. Families that number positions from the padding token cannot use all rows of
    /// the position embedding.
    pub fn longest_text(&self) -> usize {
        self.max_position_embeddings - self.family.first_position(self.pad_token_id) as usize
    }

    /// Formats the configuration as a `config.json` that `transformers` reads.
    ///
    /// # Errors
    /// Errors of [`check`](Self::check).
    pub fn to_json(&self) -> Result<String> {
        pretty(&self.to_fields()?)
    }

    pub(crate) fn to_fields(&self) -> Result<Map<String, Value>> {
        self.check()?;
        let failed = |source| Error::Json { what: "config.json".into(), source };
        let mut fields: Map<String, Value> =
            serde_json::to_value(self).and_then(serde_json::from_value).map_err(failed)?;
        for (ours, theirs) in self.family.fields().renamed {
            if let Some(value) = fields.remove(*ours) {
                fields.insert((*theirs).to_owned(), value);
            }
        }
        for field in self.family.fields().absent {
            fields.remove(*field);
        }
        Ok(fields)
    }

    /// Writes the configuration to a `config.json`, atomically.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written; errors of [`check`](Self::check).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let text = self.to_json()?;
        write_atomically(path, |file| file.write_all(text.as_bytes()))
    }

    /// Sets the class names (fields `id2label` and `label2id`).
    pub fn set_labels(&mut self, labels: &[String]) {
        let names = labels.iter().enumerate().map(|(id, label)| (id.to_string(), label.as_str().into())).collect();
        let numbers = labels.iter().enumerate().map(|(id, label)| (label.clone(), id.into())).collect();
        self.other.insert("id2label".into(), Value::Object(names));
        self.other.insert("label2id".into(), Value::Object(numbers));
    }

    /// Checks that an encoder with this configuration can be built and run.
    ///
    /// # Errors
    /// [`Error::Argument`] with the invalid field in these cases:
    ///
    /// - a size is 0 or too large, or `num_attention_heads` does not divide `hidden_size`;
    /// - a dropout probability is not in 0 ≤ p < 1, or `layer_norm_eps` or `initializer_range` is not in (0, 1);
    /// - the padding token is not in the vocabulary, or the position embedding has no row for the first token;
    /// - the configuration has an unsupported field, such as `quantization_config` ([`account`](crate::account) lists
    ///   them).
    pub fn check(&self) -> Result<()> {
        if let Some(refusal) = config_refusals(self.family.fields(), &self.other).into_iter().next() {
            return Err(refusal);
        }
        self.check_sizes()
    }

    fn check_sizes(&self) -> Result<()> {
        let refuse =
            |field, expected: String, got: String| Err(Error::argument(self.family.field(field), expected, got));
        for (field, value, most) in [
            ("vocab_size", self.vocab_size, 1 << 24),
            ("hidden_size", self.hidden_size, 1 << 16),
            ("num_hidden_layers", self.num_hidden_layers, 1 << 10),
            ("num_attention_heads", self.num_attention_heads, 1 << 10),
            ("intermediate_size", self.intermediate_size, 1 << 18),
            ("max_position_embeddings", self.max_position_embeddings, 1 << 20),
            ("type_vocab_size", self.type_vocab_size, 1 << 10),
        ] {
            if value == 0 || value > most {
                return refuse(field, format!("between 1 and {most}"), value.to_string());
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let expected = format!("a multiple of the {} heads", self.num_attention_heads);
            return refuse("hidden_size", expected, self.hidden_size.to_string());
        }
        for (field, value) in [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
        ] {
            if !(0.0..1.0).contains(&value) {
                return refuse(field, "at least 0 and below 1".into(), value.to_string());
            }
        }
        for (field, value) in [("layer_norm_eps", self.layer_norm_eps), ("initializer_range", self.initializer_range)] {
            if !(value > 0.0 && value < 1.0) {
                return refuse(field, "between 0 and 1".into(), value.to_string());
            }
        }
        if self.pad_token_id as usize >= self.vocab_size {
            return refuse("pad_token_id", format!("below {}", self.vocab_size), self.pad_token_id.to_string());
        }
        let first = self.family.first_position(self.pad_token_id) as usize;
        if self.max_position_embeddings <= first {
            let expected = format!("above {first}, the first position");
            return refuse("max_position_embeddings", expected, self.max_position_embeddings.to_string());
        }
        Ok(())
    }
}

pub(crate) fn pretty(fields: &Map<String, Value>) -> Result<String> {
    let text = serde_json::to_string_pretty(fields);
    text.map(|text| text + "\n").map_err(|source| Error::Json { what: "config.json".into(), source })
}
