//! Reader of `config.json` for all model families.

use std::path::Path;

use serde::de::Error as _;
use serde_json::{Map, Value};

use super::bert_config::{BertConfig, usual};
use super::family::Family;
use crate::account::{ALIASES, config_refusals};
use crate::error::{Error, Result};
use crate::storage::{FileKind, GIT_LFS, read_file};

/// Type of a `config.json` field. It also determines whether the field is required.
#[derive(Clone, Copy)]
enum Values {
    /// Whole number; the field is required.
    Size,
    /// Whole number; the field has a default.
    Count,
    /// Number; the field has a default.
    Number,
    /// Name of an activation function; the field has a default.
    Activation,
}

/// Names and types of the fields that are validated. `pad_token_id` is handled separately.
const FIELDS: [(&str, Values); 12] = [
    ("vocab_size", Values::Size),
    ("hidden_size", Values::Size),
    ("num_hidden_layers", Values::Size),
    ("num_attention_heads", Values::Size),
    ("intermediate_size", Values::Size),
    ("max_position_embeddings", Values::Count),
    ("type_vocab_size", Values::Count),
    ("layer_norm_eps", Values::Number),
    ("hidden_dropout_prob", Values::Number),
    ("attention_probs_dropout_prob", Values::Number),
    ("initializer_range", Values::Number),
    ("hidden_act", Values::Activation),
];

/// Supported values of `hidden_act` in `config.json`.
const ACTIVATIONS: [&str; 4] = ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu"];

impl Values {
    fn contain(self, value: &Value) -> bool {
        match self {
            Self::Size | Self::Count => value.as_u64().is_some(),
            Self::Number => value.is_number(),
            Self::Activation => value.as_str().is_some_and(|name| ACTIVATIONS.contains(&name)),
        }
    }

    fn expected(self) -> String {
        match self {
            Self::Size | Self::Count => "a whole number".into(),
            Self::Number => "a number".into(),
            Self::Activation => format!("one of {}", ACTIVATIONS.map(|name| format!("{name:?}")).join(", ")),
        }
    }
}

impl BertConfig {
    /// Reads and validates a `config.json`.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, and the errors of [`from_json`](Self::from_json).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = read_file(path, FileKind::Description).map_err(|source| Error::io(path, source))?;
        Self::from_json(&path.display().to_string(), &text)
    }

    /// Parses and validates the text of a `config.json`; `what` names the text in errors.
    ///
    /// Optional fields for which `transformers` accepts null, such as `pad_token_id`, may be null.
    ///
    /// # Errors
    /// [`Error::Json`] if the text is not JSON. [`Error::Config`] if a field is missing, or has an unsupported type or
    /// value.
    pub fn from_json(what: &str, text: &[u8]) -> Result<Self> {
        let fields = json_object(what, text)?;
        Self::from_fields(fields).map_err(|problems| first(problems).in_file(what))
    }

    /// Validates the fields of a `config.json` and converts them to a configuration.
    ///
    /// # Errors
    /// One [`Error::Argument`] for each invalid field.
    pub(crate) fn from_fields(mut fields: Map<String, Value>) -> Result<Self, Vec<Error>> {
        let (family, own) = family(&fields).map_err(|problem| vec![problem])?;
        if own {
            // These fields are written again when needed.
            fields.insert("model_type".into(), family.model_type().into());
            if fields.get("auto_map").is_some_and(is_own_code) {
                fields.remove("auto_map");
            }
        }
        let mut problems = config_refusals(family.fields(), &fields);
        translate(family, &mut fields, &mut problems);
        for (field, values) in FIELDS {
            let named = family.field(field);
            match (fields.get(field), values) {
                (Some(value), _) if values.contain(value) => {}
                (Some(value), _) => problems.push(Error::argument(named, values.expected(), value.to_string())),
                (None, Values::Size) => problems.push(Error::argument(named, values.expected(), "missing")),
                (None, _) => {}
            }
        }
        padding(family, &mut fields, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let failed = |source| vec![Error::Json { what: "config.json".into(), source }];
        let config: Self = serde_json::from_value(Value::Object(fields)).map_err(failed)?;
        config.check().map_err(|problem| vec![problem])?;
        Ok(config)
    }
}

/// Parses a JSON text that must be an object; `what` names the text in errors.
pub(crate) fn json_object(what: &str, text: &[u8]) -> Result<Map<String, Value>> {
    let failed = |source| Error::Json { what: what.into(), source };
    if text.starts_with(&GIT_LFS) {
        let problem = "is a Git LFS pointer and not the file: fetch it, as by `git lfs pull`";
        return Err(failed(serde_json::Error::custom(problem)));
    }
    if text.starts_with("\u{feff}".as_bytes()) {
        let problem = "begins with a byte order mark, which transformers refuses too: save it as UTF-8 without one";
        return Err(failed(serde_json::Error::custom(problem)));
    }
    serde_json::from_slice(text).map_err(failed)
}

fn first(problems: Vec<Error>) -> Error {
    problems.into_iter().next().unwrap_or(Error::Argument { name: "config", expected: "".into(), got: "".into() })
}

/// Reads the model family from `model_type`. The second value is `true` if the model type is one of this crate's own,
/// for which `transformers` has no class.
fn family(fields: &Map<String, Value>) -> Result<(Family, bool)> {
    match fields.get("model_type") {
        None | Some(Value::Null) => Ok((Family::Bert, false)),
        Some(value) => value.as_str().and_then(Family::of_model_type).ok_or_else(|| {
            Error::argument("model_type", format!("one of {}", Family::model_types()), value.to_string())
        }),
    }
}

/// Returns whether all classes in `auto_map` are the Python classes that this crate writes for its own model types.
fn is_own_code(auto_map: &Value) -> bool {
    let own = |class: &Value| class.as_str().is_some_and(|class| class.starts_with("modeling_dht.Dht"));
    auto_map.as_object().is_some_and(|classes| classes.values().all(own))
}

/// Renames the fields of another model family to BERT's names.
fn translate(family: Family, fields: &mut Map<String, Value>, problems: &mut Vec<Error>) {
    for (ours, theirs) in family.fields().renamed {
        let (own, value) = (fields.remove(*ours), fields.remove(*theirs));
        let alias = own.filter(|_| ALIASES.contains(ours));
        let value = match (value, alias) {
            (Some(value), Some(alias)) if value != alias => {
                let expected = format!("{alias}, as `{ours}` says");
                problems.push(Error::argument(theirs, expected, value.to_string()));
                Some(value)
            }
            (value, alias) => value.or(alias),
        };
        if let Some(value) = value {
            fields.insert((*ours).to_owned(), value);
        }
    }
    for field in family.fields().absent {
        let fixed = if *field == "type_vocab_size" { 1.into() } else { usual::layer_norm_eps().into() };
        fields.insert((*field).into(), fixed);
    }
}

/// Validates `pad_token_id`. It must be a number in families that count positions from it. In other families, null or a
/// negative number means that there is no padding token, and is replaced by the default.
fn padding(family: Family, fields: &mut Map<String, Value>, problems: &mut Vec<Error>) {
    const FIELD: &str = "pad_token_id";
    let default = family.padding_position(1).unwrap_or(0);
    let counted = family.padding_position(0) != family.padding_position(1);
    match fields.get(FIELD) {
        None => drop(fields.insert(FIELD.into(), default.into())),
        Some(value) if value.as_u64().is_some_and(|id| u32::try_from(id).is_ok()) => {}
        Some(value) if !counted && (value.is_null() || value.as_i64().is_some_and(|id| id < 0)) => {
            fields.insert(FIELD.into(), default.into());
        }
        Some(value) => {
            let expected = match counted {
                true => "the number of the padding token: positions are counted from the number after it",
                false => "a whole number or null",
            };
            problems.push(Error::argument(FIELD, expected, value.to_string()));
        }
    }
}
