//! Files of a training run in a reproduction: results, log-probabilities and the trained model.
//!
//! ```text
//! units/truncation-3.seed-0/
//!   result.json                 the hash of the settings, the cost of the training, the rows; written last
//!   log_probabilities.safetensors   cache of predictions: by depth `train.3`, `validation.3`, `test.3`, or by stage
//!                               `test.stage.0` (rows, classes), with `test.flops` (rows, stages)
//!   model/                      a Hugging Face directory, of models that other units read
//! ```

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::Path;

use candle_core::{Device, Tensor};
use dht_search::training::Curves;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::record::{RouteCounts, RowGroup, json};

const RESULT: &str = "result.json";
const PROBABILITIES: &str = "log_probabilities.safetensors";
/// Name of the file that contains the n-gram model.
pub(super) const NGRAM: &str = "ngram.json";

/// Stored result of a unit (method) with one seed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnitResult {
    /// Hash of the settings, the texts and the file layout, by [`super::identity`].
    pub(super) hash: String,
    /// FLOPs of the training run itself, without models from which it starts.
    pub(super) train_flops: u64,
    /// Seconds of the training run itself, without the optimiser's time and without models from which it starts.
    pub(super) train_seconds: f64,
    /// Results for each setting of the method.
    pub(super) rows: Vec<SeedRow>,
}

/// Results of one method and setting with one seed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeedRow {
    pub(super) method: String,
    pub(super) setting: String,
    pub(super) group: RowGroup,
    pub(super) epochs: usize,
    /// Predicted class of each test row.
    pub(super) labels: Vec<u32>,
    pub(super) macro_f1: f64,
    pub(super) accuracy: f64,
    /// FLOPs of training, including all models that the method requires.
    pub(super) train_flops: u64,
    pub(super) train_seconds: f64,
    pub(super) inference_flops: u64,
    /// Prediction time divided by the full model's. Both models run in turns after a warm-up; the times are medians.
    pub(super) inference_wall_ratio: f64,
    /// Prediction time of texts one by one, divided by the full model's; missing in earlier files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) single_text_wall_ratio: Option<f64>,
    pub(super) train_layer_head_ratio: f64,
    pub(super) inference_layer_head_ratio: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) random_macro_f1: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) routes: Option<RouteCounts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) curves: Option<Curves>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) deviations: Vec<String>,
}

impl UnitResult {
    /// Reads the result in a directory; `None` unless it has the expected hash, which depends on settings, texts and
    /// layout.
    pub(super) fn load(place: &Path, hash: &str) -> Option<Self> {
        let bytes = std::fs::read(place.join(RESULT)).ok()?;
        let result: Self = serde_json::from_slice(&bytes).ok()?;
        (result.hash == hash).then_some(result)
    }

    /// Writes the result. It must be written after all other files of the unit, since it marks the unit as finished.
    ///
    /// # Errors
    /// [`crate::Error::Record`] if a number is not finite.
    pub(super) fn save(&self, place: &Path) -> Result<()> {
        json::save(self, &place.join(RESULT))
    }
}

/// Removes the result of an earlier run, before its other files are overwritten.
pub(super) fn remove_result(place: &Path) -> Result<()> {
    let path = place.join(RESULT);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::Io { path, source }),
        _ => Ok(()),
    }
}

/// Split of the data: training, validation or test rows. Its name is the prefix of the names of stored predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataSplit {
    Train,
    Validation,
    Test,
}

impl DataSplit {
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// Name of the stored predictions after `depth` layers; depth 0 is the n-gram model.
    pub(super) fn of_depth(self, depth: usize) -> String {
        format!("{}.{depth}", self.name())
    }

    /// Name of the stored predictions of a stage.
    pub(super) fn of_stage(self, stage: usize) -> String {
        format!("{}.stage.{stage}", self.name())
    }

    /// Name of the stored table that has the FLOPs of each text for leaving at each stage.
    pub(super) fn flops(self) -> String {
        format!("{}.flops", self.name())
    }
}

pub(super) type LogProbabilities = Vec<Vec<f32>>;

/// Converts log-probabilities to the stored precision, f32.
pub(super) fn f32_rows(rows: &dht_dynamic::LogProbabilities) -> LogProbabilities {
    rows.rows().map(|row| row.iter().map(|value| *value as f32).collect()).collect()
}

/// Writes log-probabilities by split and depth, such as `test.3`.
pub(super) fn save_log_probabilities(place: &Path, tables: &BTreeMap<String, LogProbabilities>) -> Result<()> {
    let mut tensors = HashMap::new();
    for (name, rows) in tables.iter().filter(|(_, rows)| !rows.is_empty()) {
        let values: Vec<f32> = rows.iter().flatten().copied().collect();
        let tensor = Tensor::from_vec(values, (rows.len(), rows[0].len()), &Device::Cpu);
        tensors.insert(name.clone(), tensor.map_err(dht_transformer::Error::from)?);
    }
    // The result is written after this file, so that an incomplete file is never read.
    candle_core::safetensors::save(&tensors, place.join(PROBABILITIES)).map_err(dht_transformer::Error::from)?;
    Ok(())
}

/// Reads log-probabilities by split and depth, such as `test.3`.
pub(super) fn load_log_probabilities(place: &Path) -> Result<BTreeMap<String, LogProbabilities>> {
    let tensors = candle_core::safetensors::load(place.join(PROBABILITIES), &Device::Cpu);
    let mut tables = BTreeMap::new();
    for (name, tensor) in tensors.map_err(dht_transformer::Error::from)? {
        tables.insert(name, tensor.to_vec2::<f32>().map_err(dht_transformer::Error::from)?);
    }
    Ok(tables)
}
