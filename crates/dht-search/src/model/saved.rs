//! Saving and loading of a search model as a directory.
//!
//! ```text
//! encoder/              an ordinary Hugging Face directory: config.json, model.safetensors, tokenizer.json
//! search.checkpoint     the exits' classifiers, and as JSON: space, settings, class names, routers, and
//!                       the SHA-256 checksums of the encoder's files
//! ```
//!
//! Checksums tie the checkpoint of exits and routers to the encoder's files, since these parts are useless with another
//! encoder.

use std::fmt::Display;
use std::path::Path;

use candle_core::Device;
use dht_dynamic::saved_encoder::SavedEncoder;
use dht_transformer::{
    BertConfig, TextTokenizer,
    storage::{restore_replaced, write_directory_atomically},
    train::checkpoint::Checkpoint,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::exits::Exits;
use super::own_parts::OwnParts;
use super::routed_encoder::RoutedEncoder;
use super::search_model::SearchModel;
use crate::error::{Error, Result};
use crate::settings::SearchSettings;
use crate::space::SearchSpace;

const FORMAT: &str = "model of a search";
const VERSION: u64 = 1;
const ENCODER: &str = "encoder";
const SEARCH: &str = "search.checkpoint";

/// The JSON of `search.checkpoint`. The settings contain the speed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: String,
    version: u64,
    /// The release that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<String>,
    space: SearchSpace,
    settings: SearchSettings,
    labels: Vec<String>,
    encoder: SavedEncoder,
    router: Value,
    heads: Value,
    /// True if the settings do not define the routers.
    own_router: bool,
    own_heads: bool,
}

impl SearchModel {
    /// Writes the model atomically as a directory. The encoder is a Hugging Face directory. A checkpoint has the exits,
    /// the routers' state, the speed, and the tokenizer's [rest](TextTokenizer::with_rest) and [maximal
    /// length](TextTokenizer::with_model_max_length). An earlier model in the directory is replaced.
    ///
    /// State that only a resumed training needs (the optimiser, samples in queues, the cost accounting) is in the
    /// training's own checkpoint, and not saved here.
    ///
    /// # Errors
    /// [`Error::Argument`] when the number of `labels` differs from the number of classes; [`Error::Transformer`] when
    /// two labels are equal, the directory contains something else, writing fails, the tokenizer has more tokens than
    /// the encoder, or a weight is not finite.
    pub fn save(&self, folder: impl AsRef<Path>, tokenizer: Option<&TextTokenizer>, labels: &[String]) -> Result<()> {
        let classes = self.model.classes();
        if labels.len() != classes {
            return Err(Error::shape("labels", format!("the names of {classes} classes"), labels.len()));
        }
        BertConfig::check_class_names(labels)?;
        let tensors = SavedEncoder::exit_tensors(self.encoder(), &Exits::names(self.space(), self.settings()))?;
        let router = self.router.state().map_or(Ok(Value::Null), |router| router.stored())?;
        let heads = self.heads.state().map_or(Ok(Value::Null), |heads| heads.stored())?;
        Ok(write_directory_atomically(folder, &[SEARCH, ENCODER], |fresh| {
            let encoder = SavedEncoder::write(&fresh.join(ENCODER), self.encoder(), tokenizer)?;
            let stored = Stored {
                format: FORMAT.into(),
                version: VERSION,
                release: Some(env!("CARGO_PKG_VERSION").into()),
                space: self.space().clone(),
                settings: self.settings().clone(),
                labels: labels.to_vec(),
                encoder,
                router,
                heads,
                own_router: self.own_router,
                own_heads: self.own_heads,
            };
            let failed = |source| dht_transformer::Error::Json { what: SEARCH.into(), source };
            let state = serde_json::to_value(stored).map_err(failed)?;
            Checkpoint { tensors, state }.save(fresh.join(SEARCH))
        })?)
    }

    /// Loads a directory that [`save`](Self::save) wrote: the model, the names of its classes, and the tokenizer if one
    /// was saved. On the same kind of processor, the loaded model gives bit-identical labels, probabilities and routes.
    /// The encoder's files are read twice, first for their checksums.
    ///
    /// # Errors
    /// * [`Error::ModelFile`] when a file of the encoder differs from the one saved with the checkpoint: the file
    ///   belongs to another model, was changed, or is missing.
    /// * [`Error::Transformer`] when a file is missing, torn, damaged or not a checkpoint, or a tensor is missing,
    ///   unknown, of another shape or not finite.
    /// * [`Error::Model`] for a checkpoint of another kind (for example of a training run) or of another release.
    /// * [`Error::Json`] when the checkpoint's JSON is not what this release writes.
    /// * [`Error::Argument`] when the parts of the model do not fit together.
    pub fn load(folder: impl AsRef<Path>, device: &Device) -> Result<(Self, Vec<String>, Option<TextTokenizer>)> {
        Self::load_with(folder, device, OwnParts::new())
    }

    /// Loads a model with custom routers or a custom cost, as [`load`](Self::load) does for other models.
    ///
    /// # Errors
    /// As [`load`](Self::load); [`Error::Model`] when a router rejects its saved state, and for a model with custom
    /// routers if `own` has none; [`Error::Argument`] for a cost of another name.
    pub fn load_with(
        folder: impl AsRef<Path>,
        device: &Device,
        mut own: OwnParts<'_>,
    ) -> Result<(Self, Vec<String>, Option<TextTokenizer>)> {
        let folder = folder.as_ref();
        restore_replaced(folder)?;
        let path = folder.join(SEARCH);
        let Checkpoint { tensors, state } = Checkpoint::load(&path)?;
        SavedEncoder::check_format(&path, &state, FORMAT, VERSION)?;
        let mut stored: Stored =
            serde_json::from_value(state).map_err(|source| Error::Json { what: path.display().to_string(), source })?;
        stored.settings.cost_model = own.complete(stored.settings.cost_model)?;

        let (encoder, tokenizer) = stored.encoder.read(&folder.join(ENCODER), &path, device)?;
        // All random values are replaced below.
        let mut nothing = ChaCha8Rng::seed_from_u64(0);
        let classes = stored.labels.len();
        let parts = RoutedEncoder::of_sorted(encoder, stored.space, &stored.settings, classes, &mut nothing)?;
        let model = Self::of_model(parts, stored.settings)?;
        let mut model = match own.routers {
            Some(replace) => replace(model),
            None => model,
        };
        let exits = Exits::names(model.space(), model.settings());
        SavedEncoder::set_exit_tensors(model.encoder(), &exits, tensors, &path)?;
        let refused = |field, got: &dyn Display| Error::Model {
            path: path.clone(),
            field,
            expected: "the state of this model's router; one with routers of its own is read by load_with".into(),
            got: got.to_string(),
        };
        for (field, own, given) in
            [("router", stored.own_router, model.own_router), ("heads", stored.own_heads, model.own_heads)]
        {
            if own && !given {
                return Err(refused(field, &"that of a router of its own"));
            }
        }
        model.restore_routers(stored.router, stored.heads, |field, error| refused(field, &error))?;
        Ok((model, stored.labels, tokenizer))
    }
}
