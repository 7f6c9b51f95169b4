//! Saving and loading of search models: a search model is stored as a dynamic model whose description contains the
//! search space and the settings.

use std::fmt::Display;
use std::path::Path;

use candle_core::Device;
use dht_dynamic::Error as Dynamic;
use dht_dynamic::{DynamicModel, SavedParts};
use dht_transformer::TextTokenizer;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::own_parts::OwnParts;
use super::search_model::SearchModel;
use crate::error::{Error, Result};
use crate::settings::SearchSettings;
use crate::space::SearchSpace;

/// Search space and settings, saved as the [description](DynamicModel::with_description) of a search model.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    space: SearchSpace,
    settings: SearchSettings,
    /// True if the depth router is custom, so that the settings cannot rebuild it.
    own_router: bool,
    own_heads: bool,
}

/// Wraps custom routers and costs for [`TextModel::load_with`](dht_dynamic::serving::TextModel::load_with), which loads
/// search models as well.
impl<'a> From<OwnParts<'a>> for dht_dynamic::OwnParts<'a> {
    fn from(own: OwnParts<'a>) -> Self {
        Self::new().with_model(|parts| Ok(SearchModel::of_saved(parts, own)?.into()))
    }
}

impl SearchModel {
    pub(super) fn description(&self) -> Value {
        let description = Description {
            space: self.space.clone(),
            settings: self.settings.clone(),
            own_router: self.own_router,
            own_heads: self.own_heads,
        };
        // Structures and numbers are always JSON.
        serde_json::to_value(description).unwrap_or_default()
    }

    /// Writes the model atomically as a directory, as [`DynamicModel::save`] does. An earlier model in the directory is
    /// replaced.
    ///
    /// The state of training (optimiser, queued samples, cost accounting) is not saved. Checkpoints of the training run
    /// contain it.
    ///
    /// # Errors
    /// As [`DynamicModel::save`].
    pub fn save(&self, folder: impl AsRef<Path>, tokenizer: Option<&TextTokenizer>, labels: &[String]) -> Result<()> {
        Ok(DynamicModel::from(self.clone()).save(folder, tokenizer, labels)?)
    }

    /// Loads a directory that [`save`](Self::save) wrote: the model, the names of its classes, and the tokenizer if one
    /// was saved. On the same kind of processor, the loaded model gives bit-identical labels, probabilities and routes.
    /// The encoder's files are read twice, first for their checksums.
    ///
    /// # Errors
    /// * [`ModelFile`](dht_dynamic::Error::ModelFile) if a file of the encoder has been changed, is missing, or belongs
    ///   to another model.
    /// * [`Transformer`](dht_dynamic::Error::Transformer) if a file is missing, torn, damaged or not a checkpoint, or
    ///   if a tensor is missing, unknown, of another shape or not finite.
    /// * [`Model`](dht_dynamic::Error::Model) if the directory holds a model without a search space, or a checkpoint of
    ///   another type or release.
    /// * [`Json`](dht_dynamic::Error::Json) if the checkpoint's JSON does not have this release's format.
    /// * [`Argument`](dht_dynamic::Error::Argument) if the parts of the model do not fit together.
    pub fn load(folder: impl AsRef<Path>, device: &Device) -> Result<(Self, Vec<String>, Option<TextTokenizer>)> {
        Self::load_with(folder, device, OwnParts::new())
    }

    /// Loads a model that was saved with custom routers or a custom cost, and takes these parts from `own`. All other
    /// models can be loaded with [`load`](Self::load).
    ///
    /// # Errors
    /// * As [`load`](Self::load).
    /// * [`Model`](dht_dynamic::Error::Model) if a router rejects its saved state, or if the model has custom routers
    ///   and `own` supplies no routers.
    /// * [`Argument`](dht_dynamic::Error::Argument) if the supplied cost has another name than the saved cost.
    pub fn load_with(
        folder: impl AsRef<Path>,
        device: &Device,
        own: OwnParts<'_>,
    ) -> Result<(Self, Vec<String>, Option<TextTokenizer>)> {
        let mut loaded = None;
        let parts = dht_dynamic::OwnParts::new().with_model(|parts| {
            let model = Self::of_saved(parts, own)?;
            Ok(loaded.insert(model).clone().into())
        });
        let (model, labels, tokenizer) = DynamicModel::load_with(&folder, device, parts)?;
        drop(model);
        let other = || {
            Error::Dynamic(Dynamic::Model {
                path: folder.as_ref().into(),
                field: "search",
                expected: "a search; a model without a search is loaded by DynamicModel::load of dht-dynamic".into(),
                got: "none".into(),
            })
        };
        Ok((loaded.ok_or_else(other)?, labels, tokenizer))
    }

    /// Builds a model from its saved parts; `own` supplies custom parts, which are not saved.
    fn of_saved(mut parts: SavedParts, mut own: OwnParts<'_>) -> Result<Self> {
        let path = parts.path.clone();
        let not_json = |source| Error::Dynamic(Dynamic::Json { what: path.display().to_string(), source });
        let stored: Description = serde_json::from_value(std::mem::take(&mut parts.description)).map_err(not_json)?;
        let Description { space, mut settings, own_router, own_heads } = stored;
        settings.cost_model = own.complete(settings.cost_model)?;
        // All random values are replaced below.
        let mut nothing = ChaCha8Rng::seed_from_u64(0);
        let model = Self::of_sorted(parts.encoder.clone(), space, settings, parts.classes, &mut nothing)?;
        let mut model = match own.routers {
            Some(replace) => replace(model),
            None => model,
        };
        parts.set_exits(&model.model)?;
        let rejected = |field, got: &dyn Display| {
            Error::Dynamic(Dynamic::Model {
                path: path.clone(),
                field,
                expected: "the state of this model's router; a model with custom routers is loaded by load_with".into(),
                got: got.to_string(),
            })
        };
        let custom = [("router", own_router, model.own_router), ("heads", own_heads, model.own_heads)];
        for (field, saved, supplied) in custom {
            if saved && !supplied {
                return Err(rejected(field, &"the state of a custom router"));
            }
        }
        model.restore_routers(parts.router, parts.heads, |field, error| rejected(field, &error))?;
        match parts.speed.filter(|speed| model.speed() != Some(*speed) && !own_router) {
            Some(speed) => model.with_speed(speed),
            None => Ok(model),
        }
    }
}
