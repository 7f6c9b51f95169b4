//! State of a training run that a checkpoint stores in addition to its tensors.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::history::History;
use super::optim::AdamWCounters;
use super::settings::TrainSettings;
use crate::data::EncodedDataset;
use crate::error::{Error, Result, SettingMismatch};

/// Fingerprint of the training samples, by which a resumed run detects other data: their number and hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TrainingData {
    rows: usize,
    sha256: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct State {
    pub(super) settings: TrainSettings,
    pub(super) training: TrainingData,
    pub(super) epoch: usize,
    pub(super) batch: usize,
    pub(super) samples: u64,
    pub(super) epoch_loss: (f64, u64),
    pub(super) history: History,
    pub(super) optimizer: AdamWCounters,
    pub(super) objective: Value,
    pub(super) best: Option<(usize, f64, Value)>,
    #[serde(default)]
    pub(super) best_step: u64,
}

impl TrainingData {
    pub(super) fn new(samples: &EncodedDataset) -> Self {
        Self { rows: samples.len(), sha256: samples.sha256() }
    }
}

impl State {
    /// Lists the settings in which a stored run differs from the requested run. Other training samples count as a
    /// difference.
    pub(super) fn differences(
        &self,
        settings: &TrainSettings,
        training: &TrainingData,
    ) -> Result<Vec<SettingMismatch>> {
        let as_json = |settings: &TrainSettings, training: &TrainingData| -> Result<Value> {
            let failed = |source| Error::Json { what: "training settings".into(), source };
            let mut value = serde_json::to_value(settings).map_err(failed)?;
            value["training"] = serde_json::to_value(training).map_err(failed)?;
            Ok(value)
        };
        Ok(SettingMismatch::between(&as_json(&self.settings, &self.training)?, &as_json(settings, training)?))
    }
}
