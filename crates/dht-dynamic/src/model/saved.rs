//! Saves and loads a dynamic model as a directory.
//!
//! ```text
//! encoder/              an ordinary Hugging Face directory: config.json, model.safetensors, tokenizer.json
//! dynamic.checkpoint    the exits' classifiers, and as JSON: exit settings, class names, routers, the
//!                       SHA-256 checksums of the encoder's files, and the settings of a search
//! ngram.json            the n-gram classifier of the n-gram exit, if the model has one; it uses the encoder's table of
//!                       embeddings
//! seen_texts.bin        digests of the texts that the model was fitted on, if they are recorded
//! ```
//!
//! The checkpoint contains the checksums of the encoder's files, since exits and routers are useless with another
//! encoder.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use dht_transformer::{
    BertConfig, Task, TextTokenizer,
    storage::{
        FileKind, StoredTensor, file_sha256, read_file, restore_replaced, write_atomically, write_directory_atomically,
    },
    train::checkpoint::Checkpoint,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dynamic::DynamicModel;
use super::own_parts::OwnParts;
use super::saved_parts::SavedParts;
use super::seen_texts::SeenTexts;
use crate::error::{Error, Result};
use crate::exit::{ExitKind, FrontExit, NgramClassifier, Stacker};
use crate::exit_model::{ExitModel, ExitSettings};
use crate::outputs::Outputs;
use crate::router::LeavingRule;
use crate::saved_encoder::{SavedEncoder, check_file};

const FORMAT: &str = "dynamic model";
const VERSION: u64 = 1;
const ENCODER: &str = "encoder";
const DYNAMIC: &str = "dynamic.checkpoint";
const NGRAM: &str = "ngram.json";
const SEEN: &str = "seen_texts.bin";

/// JSON metadata of a dynamic model, stored in the file `dynamic.checkpoint`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: String,
    version: u64,
    /// Version of this crate that wrote the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<String>,
    exits: ExitSettings,
    labels: Vec<String>,
    /// Task of the exits: one class per text, or several labels.
    #[serde(default, skip_serializing_if = "is_class")]
    task: Task,
    encoder: SavedEncoder,
    router: StoredRouter,
    /// Saved state of the second router, which selects attention heads; `None` if there is only one router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heads: Option<Value>,
    /// Description of a custom layout and custom routers, such as those of a search model. `None` if both are built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    search: Option<StoredSearch>,
    front: Option<StoredFront>,
    /// SHA-256 checksum of `seen_texts.bin`.
    seen_texts: Option<String>,
}

fn is_class(task: &Task) -> bool {
    *task == Task::Class
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredRouter {
    Rule {
        rule: LeavingRule,
        speed: f64,
    },
    /// State of a custom router.
    Own(Value),
}

/// Saved description of a model whose layout and routers the calling program builds, and the speed of its routers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSearch {
    description: Value,
    speed: Option<f64>,
}

/// Saved n-gram exit: the stacking weights of each later exit. The n-gram classifier itself is in a separate file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredFront {
    stackers: Vec<Stacker>,
    /// SHA-256 checksum of `ngram.json`.
    ngram: String,
}

/// Loaded model, the names of its classes, and its tokenizer if one was saved.
type Loaded = (DynamicModel, Vec<String>, Option<TextTokenizer>);

impl DynamicModel {
    /// Saves the model as a directory, written atomically. Replaces an earlier model in this directory. The encoder
    /// becomes a Hugging Face directory. A checkpoint contains the exits, the router (a custom router by its
    /// [state](crate::Router::state)) and the speed. It also has two settings of the tokenizer: the number of tokens
    /// that it returns [beyond the encoder's limit](TextTokenizer::with_rest), and the [maximal
    /// length](TextTokenizer::with_model_max_length) of a text.
    ///
    /// # Errors
    /// * [`Error::Shape`] if the number of `labels` differs from the number of classes.
    /// * [`Error::Transformer`] if two labels are equal, the directory contains other files, or writing fails.
    /// * [`Error::Transformer`] if the tokenizer has more tokens than the encoder, or a weight is not finite.
    pub fn save(&self, folder: impl AsRef<Path>, tokenizer: Option<&TextTokenizer>, labels: &[String]) -> Result<()> {
        let classes = self.model().classes();
        if labels.len() != classes {
            return Err(Error::shape("labels", format!("the names of {classes} classes"), labels.len()));
        }
        BertConfig::check_class_names(labels)?;
        let exits: Vec<String> = self.model().exit_names();
        let tensors = SavedEncoder::exit_tensors(self.encoder(), &exits)?;
        let router = match (self.router().rule(), self.speed(), self.router().state()?) {
            (Some(rule), Some(speed), Value::Null) => StoredRouter::Rule { rule, speed },
            (.., state) => StoredRouter::Own(state),
        };
        let heads = self.second_router().map(|heads| heads.state()).transpose()?;
        let search = self
            .description()
            .map(|description| StoredSearch { description: description.clone(), speed: self.speed() });
        let ngram = self.front().map(|front| front.ngram().to_json()).transpose()?;
        Ok(write_directory_atomically(folder, &[DYNAMIC, ENCODER, NGRAM, SEEN], |fresh| {
            let encoder = SavedEncoder::write(&fresh.join(ENCODER), self.encoder(), tokenizer)?;
            let front = match (self.front(), &ngram) {
                (Some(front), Some(ngram)) => {
                    let path = fresh.join(NGRAM);
                    write_atomically(&path, |file| file.write_all(ngram))?;
                    Some(StoredFront { stackers: front.stackers().to_vec(), ngram: file_sha256(path)? })
                }
                _ => None,
            };
            let path = fresh.join(SEEN);
            let seen_texts = if self.seen_texts().is_empty() {
                None
            } else {
                write_atomically(&path, |file| file.write_all(&self.seen_texts().to_bytes()))?;
                Some(file_sha256(path)?)
            };
            let stored = Stored {
                format: FORMAT.into(),
                version: VERSION,
                release: Some(env!("CARGO_PKG_VERSION").into()),
                exits: self.model().settings().clone(),
                labels: labels.to_vec(),
                task: self.model().outputs().task(),
                encoder,
                router,
                heads,
                search,
                front,
                seen_texts,
            };
            let failed = |source| dht_transformer::Error::Json { what: DYNAMIC.into(), source };
            let state = serde_json::to_value(stored).map_err(failed)?;
            Checkpoint { tensors, state }.save(fresh.join(DYNAMIC))
        })?)
    }

    /// Loads a directory that [`save`](Self::save) wrote. Returns the model, the names of its classes, and the
    /// tokenizer if one was saved. On the same kind of processor, the loaded model gives bit-identical labels,
    /// probabilities and routes. The encoder's files are read twice, first for their checksums.
    ///
    /// # Errors
    /// * [`Error::ModelFile`] if a file of the encoder differs from the file that was saved with the checkpoint: the
    ///   file belongs to another model, was changed, or is missing.
    /// * [`Error::Transformer`] if a file is missing, truncated, damaged or not a checkpoint, or if a tensor is
    ///   missing, unknown, of another shape or not finite.
    /// * [`Error::Model`] if the checkpoint has another format (for example that of a training run) or another format
    ///   version, or if the model has custom exits or a custom router.
    /// * [`Error::Json`] if the checkpoint's JSON does not have the format of this release.
    /// * [`Error::Argument`] if the exits, the n-gram classifier and the class names are inconsistent.
    pub fn load(folder: impl AsRef<Path>, device: &Device) -> Result<Loaded> {
        Self::load_with(folder, device, OwnParts::new())
    }

    /// Loads a model with custom exits, a custom router, or a layout that the calling program builds. Otherwise like
    /// [`load`](Self::load).
    ///
    /// # Errors
    /// Any error of [`load`](Self::load) or of the functions in `own`.
    pub fn load_with(folder: impl AsRef<Path>, device: &Device, own: OwnParts<'_>) -> Result<Loaded> {
        let folder = folder.as_ref();
        restore_replaced(folder)?;
        let path = folder.join(DYNAMIC);
        let (stored, tensors) = read_checkpoint(&path)?;

        let (encoder, tokenizer) = stored.encoder.read(&folder.join(ENCODER), &path, device)?;
        // All random values are replaced below.
        let mut nothing = ChaCha8Rng::seed_from_u64(0);
        let classes = stored.labels.len();
        let outputs = Outputs::new(stored.task, classes)?;
        let missing = |field, kind: &str| Error::Model {
            path: path.clone(),
            field,
            expected: "one of this crate; with a part of its own, a model is read by load_with".into(),
            got: format!("{kind} of a program's own"),
        };
        if let Some(StoredSearch { description, speed }) = stored.search {
            let expected = "none; the model of a search is read by SearchModel::load of dht-search";
            let refused =
                || Error::Model { path: path.clone(), field: "search", expected: expected.into(), got: "one".into() };
            let build = own.model.ok_or_else(refused)?;
            let StoredRouter::Own(router) = stored.router else { return Err(missing("router", "one")) };
            let (heads, path) = (stored.heads.unwrap_or_default(), path.clone());
            let parts = SavedParts { encoder, classes, description, speed, router, heads, path, tensors };
            return Ok((build(parts)?, stored.labels, tokenizer));
        }
        let parts = match (stored.exits.kind, own.exits) {
            (ExitKind::Own, Some(build)) => ExitModel::of_builder(encoder, stored.exits, outputs, build)?,
            (ExitKind::Own, None) => return Err(missing("exits", "exits")),
            _ => ExitModel::new(encoder, stored.exits, outputs, &mut nothing)?,
        };
        let exits: Vec<String> = parts.exit_names();
        SavedEncoder::set_exit_tensors(parts.encoder(), &exits, tensors, &path)?;

        let mut model = match stored.router {
            StoredRouter::Rule { rule, speed } => Self::new(parts, rule)?.with_speed(speed)?,
            StoredRouter::Own(state) => {
                let build = own.router.ok_or_else(|| missing("router", "that"))?;
                Self::new(parts, LeavingRule::default())?.with_router(build(state)?)
            }
        };
        if let Some(StoredFront { stackers, ngram }) = stored.front {
            let file = folder.join(NGRAM);
            check_file(&file, &path, Some(&ngram))?;
            let ngram = NgramClassifier::load(file)?.with_encoder(model.encoder())?;
            model = model.with_front(FrontExit::new(ngram, stackers))?;
        }
        if let Some(checksum) = stored.seen_texts {
            let file = folder.join(SEEN);
            check_file(&file, &path, Some(&checksum))?;
            model = model.with_seen_texts(read_seen_texts(&file)?);
        }
        Ok((model, stored.labels, tokenizer))
    }

    /// Reads the class names of a saved model.
    pub(crate) fn saved_labels(folder: &Path) -> Result<Vec<String>> {
        Ok(read_checkpoint(&folder.join(DYNAMIC))?.0.labels)
    }
}

fn read_checkpoint(path: &Path) -> Result<(Stored, BTreeMap<String, StoredTensor>)> {
    let Checkpoint { tensors, state } = Checkpoint::load(path)?;
    SavedEncoder::check_format(path, &state, FORMAT, VERSION)?;
    let failed = |source| Error::Json { what: path.display().to_string(), source };
    Ok((serde_json::from_value(state).map_err(failed)?, tensors))
}

fn read_seen_texts(file: &Path) -> Result<SeenTexts> {
    let bytes = read_file(file, FileKind::Weights)
        .map_err(|source| dht_transformer::Error::Io { path: file.into(), source })?;
    SeenTexts::from_bytes(&bytes).ok_or_else(|| Error::Model {
        path: file.into(),
        field: "length",
        expected: "8 bytes for each text".into(),
        got: bytes.len().to_string(),
    })
}
