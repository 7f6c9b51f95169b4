//! Saving and loading of a search model: a dynamic model whose description has the space and the settings.

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

/// [Description](DynamicModel::with_description) of a search model. The settings contain the speed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    space: SearchSpace,
    settings: SearchSettings,
    /// True if the settings do not define the routers.
    own_router: bool,
    own_heads: bool,
}

/// For [`TextModel::load_with`](dht_dynamic::serving::TextModel::load_with), of a directory with the model of a search.
impl<'a> From<OwnParts<'a>> for dht_dynamic::OwnParts<'a> {
    fn from(own: OwnParts<'a>) -> Self {
        Self::new().with_model(|parts| Ok(SearchModel::of_saved(parts, own)?.into()))
    }
}

impl SearchModel {
    /// Description, which is saved with the model.
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
    /// State that only a resumed training needs (the optimiser, samples in queues, the cost accounting) is in the
    /// training's own checkpoint, and not saved here.
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
    /// * [`ModelFile`](dht_dynamic::Error::ModelFile) when a file of the encoder differs from the one saved with the checkpoint: the file
    ///   belongs to another model, was changed, or is missing.
    /// * [`Transformer`](dht_dynamic::Error::Transformer) when a file is missing, torn, damaged or not a checkpoint, or a tensor is missing,
    ///   unknown, of another shape or not finite.
    /// * [`Model`](dht_dynamic::Error::Model) for a model that is not of a search, and for a checkpoint of another kind or release.
    /// * [`Json`](dht_dynamic::Error::Json) when the checkpoint's JSON is not what this release writes.
    /// * [`Argument`](dht_dynamic::Error::Argument) when the parts of the model do not fit together.
    pub fn load(folder: impl AsRef<Path>, device: &Device) -> Result<(Self, Vec<String>, Option<TextTokenizer>)> {
        Self::load_with(folder, device, OwnParts::new())
    }

    /// Loads a model with custom routers or a custom cost, as [`load`](Self::load) does for other models.
    ///
    /// # Errors
    /// As [`load`](Self::load); [`Model`](dht_dynamic::Error::Model) when a router rejects its saved state, and for a model with custom
    /// routers if `own` has none; [`Argument`](dht_dynamic::Error::Argument) for a cost of another name.
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
                expected: "one; a model without is read by DynamicModel::load of dht-dynamic".into(),
                got: "none".into(),
            })
        };
        Ok((loaded.ok_or_else(other)?, labels, tokenizer))
    }

    /// Builds the model of saved parts.
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
        let refused = |field, got: &dyn Display| {
            Error::Dynamic(Dynamic::Model {
                path: path.clone(),
                field,
                expected: "the state of this model's router; one with routers of its own is read by load_with".into(),
                got: got.to_string(),
            })
        };
        for (field, own, given) in [("router", own_router, model.own_router), ("heads", own_heads, model.own_heads)] {
            if own && !given {
                return Err(refused(field, &"that of a router of its own"));
            }
        }
        model.restore_routers(parts.router, parts.heads, |field, error| refused(field, &error))?;
        match parts.speed.filter(|speed| model.speed() != Some(*speed) && !own_router) {
            Some(speed) => model.with_speed(speed),
            None => Ok(model),
        }
    }
}
