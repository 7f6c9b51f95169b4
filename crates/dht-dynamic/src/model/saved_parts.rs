//! Saved contents of a model whose layout and routers the calling program builds.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dht_transformer::Encoder;
use dht_transformer::storage::StoredTensor;
use serde_json::Value;

use crate::error::Result;
use crate::exit_model::ExitModel;
use crate::saved_encoder::SavedEncoder;

/// Saved contents of a model whose layout and routers the calling program builds. The function that was set by
/// [`OwnParts::with_model`](crate::OwnParts::with_model) receives them.
#[derive(Debug)]
pub struct SavedParts {
    /// Encoder of the model, already loaded.
    pub encoder: Encoder,
    /// Number of classes or labels.
    pub classes: usize,
    /// JSON description that [`DynamicModel::with_description`](crate::DynamicModel::with_description) set.
    pub description: Value,
    /// Speed of the routers (such as an exit threshold); `None` if they have no adjustable speed.
    pub speed: Option<f64>,
    /// Saved state of the router.
    pub router: Value,
    /// Saved state of the second router, which selects attention heads; `null` if there is only one router.
    pub heads: Value,
    /// Path of the checkpoint, for error messages.
    pub path: PathBuf,
    pub(super) tensors: BTreeMap<String, StoredTensor>,
}

impl SavedParts {
    /// Restores the saved parameters of the exits in `model`, which must have been built on this encoder.
    ///
    /// # Errors
    /// * [`Error::Model`](crate::Error::Model) if a saved tensor does not belong to an exit.
    /// * [`Error::Transformer`](crate::Error::Transformer) if a tensor is missing, has another shape or is not finite.
    pub fn set_exits(&mut self, model: &ExitModel) -> Result<()> {
        let tensors = std::mem::take(&mut self.tensors);
        SavedEncoder::set_exit_tensors(model.encoder(), &model.exit_names(), tensors, &self.path)
    }
}
