//! Parts of a saved model besides its layout and routers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dht_transformer::Encoder;
use dht_transformer::storage::StoredTensor;
use serde_json::Value;

use crate::error::Result;
use crate::exit_model::ExitModel;
use crate::saved_encoder::SavedEncoder;

/// Parts of a saved model whose layout and routers its program builds, for
/// [`OwnParts::with_model`](crate::OwnParts::with_model).
#[derive(Debug)]
pub struct SavedParts {
    /// Encoder.
    pub encoder: Encoder,
    /// Number of classes.
    pub classes: usize,
    /// Description that [`DynamicModel::with_description`](crate::DynamicModel::with_description) set.
    pub description: Value,
    /// Speed of the routers; `None` for routers with a single speed.
    pub speed: Option<f64>,
    /// State of the router.
    pub router: Value,
    /// State of the router that decides heads; `null` if there is only one router.
    pub heads: Value,
    /// Checkpoint, for messages.
    pub path: PathBuf,
    pub(super) tensors: BTreeMap<String, StoredTensor>,
}

impl SavedParts {
    /// Sets the parameters of the exits of a model that was built on this encoder.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) for a tensor that belongs to no exit;
    /// [`Error::Transformer`](crate::Error::Transformer) for one that is missing, of another shape or not finite.
    pub fn set_exits(&mut self, model: &ExitModel) -> Result<()> {
        let tensors = std::mem::take(&mut self.tensors);
        SavedEncoder::set_exit_tensors(model.encoder(), &model.exit_names(), tensors, &self.path)
    }
}
