//! Saves and loads a served model as one directory.
//!
//! ```text
//! README.md             the model card
//! curve.svg             the picture of the model card, where there is one
//! training.json         the report of its training, where there is one, with its picture training.svg
//! dht.json              format, maximal length, speeds, training data, promise, thresholds, checksums
//! model/                for a classifier: a Hugging Face directory
//!                       for a dynamic model: the output of DynamicModel::save
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use dht_transformer::storage::{
    FileKind, file_sha256, read_file, restore_replaced, write_atomically, write_directory_atomically,
};
use dht_transformer::train::metrics::LabelThresholds;
use dht_transformer::{BertConfig, TextClassifier, TextTokenizer, pretrained::PretrainedWeights};
use serde::{Deserialize, Serialize};

use super::served::ServedModel;
use super::text_model::{KeptPromise, Origin, TextModel};
use crate::error::{Error, Result};
use crate::evaluation::SpeedPoint;
use crate::model::{DynamicModel, OwnParts};
use crate::number_levels::NumberLevels;
use crate::saved_encoder::{SavedEncoder, check_file};

const FORMAT: &str = "dht model";
const VERSION: u64 = 2;
const CARD: &str = "README.md";
const CURVE: &str = "curve.svg";
const TRAINING: &str = "training.json";
const TRAINING_CURVE: &str = "training.svg";
const DESCRIPTION: &str = "dht.json";
const MODEL: &str = "model";
/// Files that are read when a saved classifier is loaded.
const OF_CLASSIFIER: [&str; 4] = ["config.json", "model.safetensors", "tokenizer.json", PREFIX];
/// Optional file with the prefix that a tokenizer adds to each text.
const PREFIX: &str = "config_sentence_transformers.json";
/// File of a saved model with early exits. It has the checksums of all other files.
const OF_DYNAMIC: [&str; 1] = ["dynamic.checkpoint"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ModelKind {
    Classifier,
    Dynamic,
}

impl ModelKind {
    fn new(model: &ServedModel) -> Self {
        match model {
            ServedModel::Classifier(_) => Self::Classifier,
            ServedModel::Dynamic(_) => Self::Dynamic,
        }
    }

    fn files(self) -> &'static [&'static str] {
        match self {
            Self::Classifier => &OF_CLASSIFIER,
            Self::Dynamic => &OF_DYNAMIC,
        }
    }
}

/// Contents of `dht.json`, which describes a saved model and its settings.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: String,
    version: u64,
    /// Version of this crate that wrote the directory; `None` if it was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<String>,
    kind: ModelKind,
    max_length: usize,
    rest: usize,
    #[serde(default)]
    curve: Vec<SpeedPoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    promise: Option<KeptPromise>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thresholds: Option<LabelThresholds>,
    /// Ordinal levels, for a model with early exits that predicts numbers. `None` for other models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    levels: Option<NumberLevels>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quantity: Option<String>,
    /// SHA-256 checksum of each file, by path relative to the directory `model`.
    files: BTreeMap<String, String>,
}

/// Model card: README, plots and training report in a model's directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct ModelCard<'a> {
    /// README of the model's directory, in Markdown.
    pub text: &'a str,
    /// Plot of accuracy against cost: an SVG, saved as `curve.svg`, that the README may show.
    pub curve: Option<&'a str>,
    /// Report of the training run and its plot: the JSON for `training.json` and the SVG for `training.svg`.
    pub training: Option<(&'a str, &'a str)>,
}

impl<'a> From<&'a str> for ModelCard<'a> {
    fn from(text: &'a str) -> Self {
        Self { text, ..Self::default() }
    }
}

impl TextModel {
    /// Saves the model as a directory, written atomically, with `card` as its README. Replaces a model that is already
    /// saved there.
    ///
    /// # Errors
    /// [`Error::Argument`] if the fields of the model are inconsistent. [`Error::Transformer`] if the directory
    /// contains anything else than a saved model, if writing fails, or if a weight is not finite.
    pub fn save<'a>(&self, folder: impl AsRef<Path>, card: impl Into<ModelCard<'a>>) -> Result<()> {
        self.check()?;
        let card = card.into();
        let kind = ModelKind::new(&self.model);
        let tokenizer = self.tokenizer.clone().with_model_max_length(self.max_length);
        let outputs = self.output_names();
        let mut failed = None;
        let written =
            write_directory_atomically(folder, &[DESCRIPTION, CARD, CURVE, TRAINING, TRAINING_CURVE, MODEL], |fresh| {
                let model = fresh.join(MODEL);
                match &self.model {
                    ServedModel::Classifier(classifier) => classifier.save(&model, Some(&tokenizer), &outputs)?,
                    ServedModel::Dynamic(dynamic) => {
                        if let Err(error) = dynamic.save(&model, Some(&tokenizer), &outputs) {
                            let message = error.to_string();
                            failed = Some(error);
                            let source = std::io::Error::other(message);
                            return Err(dht_transformer::Error::Io { path: model, source });
                        }
                    }
                }
                let sum = |name: &&str| Ok(((*name).to_owned(), file_sha256(model.join(name))?));
                let description = Description {
                    format: FORMAT.into(),
                    version: VERSION,
                    release: Some(env!("CARGO_PKG_VERSION").into()),
                    kind,
                    max_length: self.max_length,
                    rest: self.tokenizer.rest(),
                    curve: self.curve.clone(),
                    origin: self.origin.clone(),
                    promise: self.promise,
                    thresholds: self.thresholds.clone(),
                    levels: self.levels.clone(),
                    quantity: self.levels.is_some().then(|| self.labels[0].clone()),
                    files: kind
                        .files()
                        .iter()
                        .filter(|name| model.join(name).exists())
                        .map(sum)
                        .collect::<dht_transformer::Result<_>>()?,
                };
                let json = serde_json::to_string_pretty(&description)
                    .map_err(|source| dht_transformer::Error::Json { what: DESCRIPTION.into(), source })?;
                write_atomically(fresh.join(DESCRIPTION), |file| writeln!(file, "{json}"))?;
                if let Some(curve) = card.curve {
                    write_atomically(fresh.join(CURVE), |file| file.write_all(curve.as_bytes()))?;
                }
                if let Some((report, curve)) = card.training {
                    write_atomically(fresh.join(TRAINING), |file| file.write_all(report.as_bytes()))?;
                    write_atomically(fresh.join(TRAINING_CURVE), |file| file.write_all(curve.as_bytes()))?;
                }
                write_atomically(fresh.join(CARD), |file| file.write_all(card.text.as_bytes()))
            });
        match (written, failed) {
            (Err(_), Some(error)) => Err(error),
            (written, _) => Ok(written?),
        }
    }

    /// Loads a directory that [`save`](Self::save) wrote, or a Hugging Face directory of a classifier. A Hugging Face
    /// directory has no checksums and does not state the text length in training: texts are truncated at the default
    /// length of [`Engine::new`](crate::Engine::new).
    ///
    /// # Errors
    /// * [`Error::NotAModel`] if the directory does not contain a model.
    /// * [`Error::Model`] if another release wrote the directory in a different format.
    /// * [`Error::ModelFile`] if a file was changed or is missing.
    /// * [`Error::Json`] if the description `dht.json` does not have the format of this release.
    /// * Errors of [`TextClassifier::load`], [`TextTokenizer::from_dir`] and [`DynamicModel::load`].
    pub fn load(folder: impl AsRef<Path>, device: &Device) -> Result<Self> {
        Self::load_with(folder, device, OwnParts::new())
    }

    /// Loads a model with custom exits or a custom router, otherwise like [`load`](Self::load).
    ///
    /// # Errors
    /// As [`load`](Self::load) and [`DynamicModel::load_with`].
    pub fn load_with(folder: impl AsRef<Path>, device: &Device, own: OwnParts<'_>) -> Result<Self> {
        let folder = folder.as_ref();
        restore_replaced(folder)?;
        let path = folder.join(DESCRIPTION);
        let bytes = match read_file(&path, FileKind::Description) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound && folder.is_dir() => {
                return Self::of_classifier(folder, device);
            }
            Err(source) if source.kind() == std::io::ErrorKind::NotFound && !folder.exists() => {
                return Err(dht_transformer::Error::Io { path: folder.into(), source }.into());
            }
            Err(_) if folder.is_file() => {
                let instead = "it is a file: name the directory of a model";
                return Err(Error::NotAModel { path: folder.into(), instead });
            }
            Err(source) => return Err(dht_transformer::Error::Io { path, source }.into()),
        };
        let description = read_description(&path, &bytes)?;
        let model = folder.join(MODEL);
        for name in description.kind.files() {
            let (file, expected) = (model.join(name), description.files.get(*name));
            if *name != PREFIX || expected.is_some() || file.exists() {
                check_file(&file, &path, expected)?;
            }
        }
        let (served, labels, tokenizer): (ServedModel, _, _) = match description.kind {
            ModelKind::Classifier => {
                let classifier = TextClassifier::load(&model, device)?;
                let labels = classifier.class_names()?;
                // The file has a checksum and contains the whole tokenizer. The other files are for Python.
                let tokenizer = TextTokenizer::from_file(model.join("tokenizer.json"))?.with_prefix_of(&model)?;
                (classifier.into(), labels, Some(tokenizer))
            }
            ModelKind::Dynamic => {
                let (dynamic, labels, tokenizer) = DynamicModel::load_with(&model, device, own)?;
                (dynamic.into(), labels, tokenizer)
            }
        };
        let refused = |field, expected: String, got: String| Error::Model { path: path.clone(), field, expected, got };
        let Some(tokenizer) = tokenizer else {
            return Err(refused("tokenizer", "one that was saved with the model".into(), "none".into()));
        };
        let Description { max_length, rest, curve, origin, promise, thresholds, levels, quantity, .. } = description;
        let tokenizer = tokenizer.with_rest(rest);
        let labels = match (&levels, quantity) {
            (None, None) => labels,
            (Some(_), Some(quantity)) => vec![quantity],
            (levels, _) => {
                let (there, lacking) = if levels.is_some() { ("levels", "quantity") } else { ("quantity", "levels") };
                return Err(refused(lacking, format!("given beside {there}"), "none".into()));
            }
        };
        let loaded = Self { model: served, tokenizer, labels, max_length, curve, origin, promise, thresholds, levels };
        loaded.check()?;
        Ok(loaded)
    }

    /// Reads the class names of a saved model without loading its weights.
    ///
    /// # Errors
    /// As [`load`](Self::load), for the files that are read.
    pub fn saved_labels(folder: impl AsRef<Path>) -> Result<Vec<String>> {
        let (path, model) = (folder.as_ref().join(DESCRIPTION), folder.as_ref().join(MODEL));
        let failed = |source| dht_transformer::Error::Io { path: path.clone(), source };
        let bytes = read_file(&path, FileKind::Description).map_err(failed)?;
        let description = read_description(&path, &bytes)?;
        if let Some(quantity) = description.quantity {
            return Ok(vec![quantity]);
        }
        match description.kind {
            ModelKind::Classifier => {
                let path = model.join("config.json");
                let (field, expected, got) = ("id2label", "a name for each class".into(), "none".into());
                BertConfig::from_file(&path)?.labels().ok_or(Error::Model { path, field, expected, got })
            }
            ModelKind::Dynamic => DynamicModel::saved_labels(&model),
        }
    }

    /// Loads a classifier from a directory without `dht.json`, which [`TextClassifier::save`] or another program wrote.
    fn of_classifier(folder: &Path, device: &Device) -> Result<Self> {
        let not_a_model = |instead| Error::NotAModel { path: folder.into(), instead };
        if folder.join("dynamic.checkpoint").exists() {
            return Err(not_a_model("it is a dynamic model of the library, which DynamicModel::load reads"));
        }
        if !folder.join("config.json").exists() {
            // The error names the model of another program, if it is known.
            if let Err(error @ dht_transformer::Error::Unsupported { .. }) = PretrainedWeights::read_config(folder) {
                return Err(error.into());
            }
            return Err(not_a_model(
                "name a directory that `dht train` or `dht accelerate` wrote, or that of a Hugging Face classifier",
            ));
        }
        let classifier = TextClassifier::load(folder, device)?;
        let labels = classifier.class_names()?;
        Self::with_default_length(classifier, TextTokenizer::from_dir(folder)?, &labels)
    }
}

fn read_description(path: &Path, bytes: &[u8]) -> Result<Description> {
    let failed = |source| Error::Json { what: path.display().to_string(), source };
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(failed)?;
    SavedEncoder::check_format(path, &value, FORMAT, VERSION)?;
    serde_json::from_value(value).map_err(failed)
}
