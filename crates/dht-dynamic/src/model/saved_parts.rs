//! Saved values from which a calling program builds its own kind of model.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dht_transformer::Encoder;
use dht_transformer::storage::StoredTensor;
use serde_json::Value;

use crate::error::Result;
use crate::exit_model::ExitModel;
use crate::saved_encoder::SavedEncoder;

/// Saved values of a model whose layout and routers the calling program builds, as passed to the function that
/// [`OwnParts::with_model`](crate::OwnParts::with_model) set.
#[derive(Debug)]
pub struct SavedParts {
    /// Encoder of the model.
    pub encoder: Encoder,
    /// Number of classes.
    pub classes: usize,
    /// Description that [`DynamicModel::with_description`](crate::DynamicModel::with_description) set.
    pub description: Value,
    /// Speed of the routers; `None` for routers with a single speed.
    pub speed: Option<f64>,
    /// Saved state of the router.
    pub router: Value,
    /// Saved state of the second router, which selects heads; `null` if there is only one router.
    pub heads: Value,
    /// Path of the checkpoint, for error messages.
    pub path: PathBuf,
    pub(super) tensors: BTreeMap<String, StoredTensor>,
}

impl SavedParts {
    /// Restores the saved parameters of the exits, in a model that was built on this encoder.
    ///
    /// # Errors
    /// * [`Error::Model`](crate::Error::Model) if a saved tensor belongs to no exit.
    /// * [`Error::Transformer`](crate::Error::Transformer) if a tensor is missing, has another shape or is not finite.
    pub fn set_exits(&mut self, model: &ExitModel) -> Result<()> {
        let tensors = std::mem::take(&mut self.tensors);
        SavedEncoder::set_exit_tensors(model.encoder(), &model.exit_names(), tensors, &self.path)
    }
}
