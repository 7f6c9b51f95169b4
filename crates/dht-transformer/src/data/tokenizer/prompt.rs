//! Prefix that is put before each text, from the settings of sentence-transformers.

use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::text_tokenizer::TextTokenizer;
use crate::config::json_object;
use crate::error::{Error, Result};
use crate::storage::{FileKind, read_file};

/// File in which sentence-transformers stores its prompts.
pub(crate) const PROMPTS: &str = "config_sentence_transformers.json";
const DEFAULT: &str = "default_prompt_name";
/// Name that this crate gives to the prefix when it writes a prompts file.
const NAME: &str = "text";

impl TextTokenizer {
    /// Sets the [prefix](Self::with_prefix) of texts to the default prompt of sentence-transformers in a directory. The
    /// file `config_sentence_transformers.json` lists `prompts` by name, and `default_prompt_name` names the default.
    /// Without this file, or without a default prompt, the prefix is empty.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Json`] if the file cannot be read; [`Error::Config`] if the default prompt is not
    /// among `prompts`, or is not text.
    pub fn with_prefix_of(self, folder: impl AsRef<Path>) -> Result<Self> {
        let path = folder.as_ref().join(PROMPTS);
        let bytes = match read_file(&path, FileKind::Description) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == ErrorKind::NotFound => return Ok(self.with_prefix("")),
            Err(source) => return Err(Error::io(path, source)),
        };
        let file = path.display().to_string();
        Ok(self.with_prefix(default_prompt(&file, &json_object(&file, &bytes)?)?))
    }

    /// Content of `config_sentence_transformers.json` that stores the prefix; `None` if the prefix is empty.
    pub(crate) fn prompts(&self) -> Option<Value> {
        (!self.prefix().is_empty()).then(|| json!({ "prompts": { NAME: self.prefix() }, DEFAULT: NAME }))
    }
}

fn default_prompt(file: &str, fields: &Map<String, Value>) -> Result<String> {
    let refused = |expected: String, got: &Value| {
        Err(Error::Config { file: file.into(), field: DEFAULT, expected, got: got.to_string() })
    };
    let name = match fields.get(DEFAULT) {
        None | Some(Value::Null) => return Ok(String::new()),
        Some(Value::String(name)) => name,
        Some(other) => return refused("the name of a prompt, or null".into(), other),
    };
    let prompts = fields.get("prompts").and_then(Value::as_object);
    match prompts.and_then(|prompts| prompts.get(name)) {
        Some(Value::String(prompt)) => Ok(prompt.clone()),
        Some(other) => refused(format!("a prompt {name:?} that is text"), other),
        None => {
            let names: Vec<&str> = prompts.into_iter().flat_map(Map::keys).map(String::as_str).collect();
            refused(format!("one of the prompts: {}", names.join(", ")), &Value::String(name.clone()))
        }
    }
}
