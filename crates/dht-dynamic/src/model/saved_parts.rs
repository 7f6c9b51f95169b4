//! The parts of a saved model besides its layout and routers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dht_transformer::Encoder;
use dht_transformer::storage::StoredTensor;
use serde_json::Value;

use crate::error::Result;
use crate::exit_model::ExitModel;
use crate::saved_encoder::SavedEncoder;

/// The parts of a saved model whose layout and routers its program builds, for [`OwnParts::with_model`](crate::OwnParts::with_model).
#[derive(Debug)]
pub struct SavedParts {
    /// The encoder.
    pub encoder: Encoder,
    /// The number of classes.
    pub classes: usize,
    /// The description that [`DynamicModel::with_description`](crate::DynamicModel::with_description) set.
    pub description: Value,
    /// The speed of the routers; `None` for routers with a single speed.
    pub speed: Option<f64>,
    /// The state of the router.
    pub router: Value,
    /// The state of the router that decides heads; `null` if there is only one router.
    pub heads: Value,
    /// The checkpoint, for messages.
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
