//! Saved encoder of a model with early exits. Checksums detect files that were changed after the model was saved.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use dht_transformer::{
    Encoder, TextTokenizer,
    storage::{FileKind, StoredTensor, file_sha256},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// Names of the encoder files that are loaded with a model. The tokenizer file and the file with its text prefix are
/// optional.
const FILES: [&str; 4] = ["config.json", "model.safetensors", TOKENIZER, "config_sentence_transformers.json"];
const TOKENIZER: &str = "tokenizer.json";

/// Checksums of an encoder's files, and its tokenizer settings. A checkpoint stores them, because exits and routers are
/// useless with any encoder but their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedEncoder {
    /// SHA-256 checksum of each encoder file, by file name.
    checksums: BTreeMap<String, String>,
    /// Number of tokens beyond the maximum length that the tokenizer returns for the n-gram classifier.
    rest: usize,
    /// Maximum length of a text in tokens, if the tokenizer has one.
    max_length: Option<usize>,
}

impl SavedEncoder {
    /// Writes an encoder and its tokenizer to a directory, and returns their checksums and settings.
    pub(crate) fn write(
        folder: &Path,
        encoder: &Encoder,
        tokenizer: Option<&TextTokenizer>,
    ) -> dht_transformer::Result<Self> {
        encoder.save(folder, tokenizer)?;
        let there = FILES.into_iter().filter(|name| folder.join(name).exists());
        let checksum = |name: &str| Ok((name.to_owned(), file_sha256(folder.join(name))?));
        Ok(Self {
            checksums: there.map(checksum).collect::<dht_transformer::Result<_>>()?,
            rest: tokenizer.map_or(0, TextTokenizer::rest),
            max_length: tokenizer.and_then(TextTokenizer::model_max_length),
        })
    }

    /// Loads the encoder and its tokenizer. `checkpoint` is the path of the file from which `self` was read. The
    /// encoder's files are read twice, first for their checksums.
    ///
    /// # Errors
    /// * [`Error::ModelFile`] if the checksum of a file differs from the stored checksum.
    /// * [`Error::Transformer`] if the encoder cannot be loaded, as in [`Encoder::from_pretrained`].
    pub(crate) fn read(
        &self,
        folder: &Path,
        checkpoint: &Path,
        device: &Device,
    ) -> Result<(Encoder, Option<TextTokenizer>)> {
        for name in FILES {
            let (file, expected) = (folder.join(name), self.checksums.get(name));
            if expected.is_some() || file.exists() {
                check_file(&file, checkpoint, expected)?;
            }
        }
        let encoder = Encoder::from_pretrained(folder, device)?;
        if !self.checksums.contains_key(TOKENIZER) {
            return Ok((encoder, None));
        }
        let tokenizer = TextTokenizer::from_file(folder.join(TOKENIZER))?.with_prefix_of(folder)?.with_rest(self.rest);
        Ok((
            encoder,
            Some(match self.max_length {
                Some(tokens) => tokenizer.with_model_max_length(tokens),
                None => tokenizer,
            }),
        ))
    }

    /// Rejects a checkpoint whose format name or format version is not the expected one. This check runs before other
    /// fields are parsed.
    ///
    /// # Errors
    /// [`Error::Model`] if the format name or the version differs.
    pub(crate) fn check_format(path: &Path, state: &Value, format: &str, version: u64) -> Result<()> {
        let refuse = |field, expected: String| {
            let release = state["release"].as_str().map_or_else(String::new, |name| format!(" of release {name}"));
            let got = format!("{}{release}", state.get(field).unwrap_or(&Value::Null));
            Err(Error::Model { path: path.into(), field, expected, got })
        };
        if state["format"] != format {
            return refuse("format", format!("{format:?}"));
        }
        if state["version"] != version {
            return refuse(
                "version",
                format!("{version}: load it with the release that saved it, or train and save it again"),
            );
        }
        Ok(())
    }

    /// Returns the parameters of an encoder's exits. Their names start with one of the prefixes in `names` and a dot.
    pub(crate) fn exit_tensors(
        encoder: &Encoder,
        names: &[String],
    ) -> dht_transformer::Result<BTreeMap<String, StoredTensor>> {
        encoder.parameters().values_where(|name| is_below(names, name))
    }

    /// Overwrites the parameters of an encoder's exits with tensors that [`exit_tensors`](Self::exit_tensors) returned.
    ///
    /// # Errors
    /// * [`Error::Model`] if a tensor does not belong to an exit.
    /// * [`Error::Transformer`] if a tensor is missing, has another shape or is not finite.
    pub(crate) fn set_exit_tensors(
        encoder: &Encoder,
        names: &[String],
        tensors: BTreeMap<String, StoredTensor>,
        path: &Path,
    ) -> Result<()> {
        let parameters = encoder.parameters();
        if let Some(name) = tensors.keys().find(|name| parameters.id(name).is_ok() && !is_below(names, name)) {
            let expected = "a parameter of an exit's classifier".into();
            return Err(Error::Model { path: path.into(), field: "tensor", expected, got: name.clone() });
        }
        let own = parameters.iter().map(|(_, name, _)| name).filter(|name| is_below(names, name));
        if let Some(name) = own.into_iter().find(|name| !tensors.contains_key(*name)) {
            let missing = dht_transformer::Error::Parameter { name: name.into(), problem: "is missing" };
            return Err(missing.into());
        }
        Ok(parameters.update_values(tensors)?)
    }
}

/// Returns whether the parameter name starts with one of the exit names in `exits` and a dot.
fn is_below(exits: &[String], parameter: &str) -> bool {
    exits.iter().any(|exit| parameter.strip_prefix(exit.as_str()).is_some_and(|rest| rest.starts_with('.')))
}

/// Rejects a file that is missing or whose SHA-256 checksum differs from `expected`, the checksum in `checkpoint`.
pub(crate) fn check_file(file: &Path, checkpoint: &Path, expected: Option<&String>) -> Result<()> {
    // The checksum of a huge sparse file would take minutes, so the size is checked first.
    let kind = match file.file_name().and_then(|name| name.to_str()) {
        Some("ngram.json" | "seen_texts.bin") => Some(FileKind::Weights),
        Some(name) if name.ends_with(".json") => Some(FileKind::Tokenizer),
        _ => None,
    };
    if let Some(kind) = kind.filter(|_| file.exists()) {
        kind.check(file).map_err(|source| dht_transformer::Error::Io { path: file.into(), source })?;
    }
    let got = if file.exists() { Some(file_sha256(file)?) } else { None };
    if got.is_some() && got.as_ref() == expected {
        return Ok(());
    }
    Err(Error::ModelFile { path: file.into(), checkpoint: checkpoint.into(), expected: expected.cloned(), got })
}
