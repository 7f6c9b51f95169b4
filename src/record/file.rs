//! The record of a run, `record.json`.

use std::collections::BTreeMap;
use std::path::Path;

use dht_search::training::Curves;
use dht_transformer::data::Reading;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::json;
use super::machine::Machine;
use super::operating_points::OperatingPoint;
use super::results::{DifficultyResult, DynamicResult, ModelResult, RouteCounts, SearchResult};
use crate::error::Result;

/// The number of classes that a summary names.
const CLASSES_IN_SUMMARY: usize = 20;

/// All results of one run on the same data: the full model, truncations of it, the full model accelerated, and a search.
///
/// Written as `record.json`. The order of its keys is fixed, and it contains no date and no path of the machine, so that two
/// runs with one seed differ only in seconds and in values derived from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The version of this layout: [`RunRecord::SCHEMA`].
    pub schema: u32,
    /// The name of the search: `T-DHT`.
    pub preset: String,
    /// The seed of every random choice.
    pub seed: u64,
    /// The example and its flags, as typed: `experiment`, `--epochs`, `2`. Of absolute paths only the last part is kept. Empty
    /// in records of earlier releases.
    #[serde(default)]
    pub command: Vec<String>,
    /// The training, validation and test data.
    pub data: DataRecord,
    /// The size of the full model.
    pub model: ModelRecord,
    /// The full model.
    pub full: ModelResult,
    /// Models of the first k layers, trained in the same way, by k.
    pub truncated: BTreeMap<usize, ModelResult>,
    /// The dynamic model: the full model, [accelerated](fn@dht_dynamic::accelerate).
    pub dynamic: DynamicResult,
    /// The dynamic model at several thresholds, spread evenly over its range of FLOPs, cheapest first; `knob` in the file.
    #[serde(rename = "knob")]
    pub operating_points: Vec<OperatingPoint>,
    /// The search that `preset` names.
    pub search: SearchResult,
    /// The number of samples on each route of the search.
    pub routes: RouteCounts,
    /// Curves of the search, and the losses of the other trainings.
    pub curves: Curves,
    /// Results on the easier and harder parts of generated texts, easiest first; empty for other data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub difficulties: Vec<DifficultyResult>,
    /// Settings by name: epochs, batch, learning rate, the search's settings, …
    #[serde(default)]
    pub settings: BTreeMap<String, Value>,
    /// The machine of the run.
    pub machine: Machine,
}

/// The data of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRecord {
    /// The name of the data set.
    pub name: String,
    /// Training rows, without validation rows.
    pub train_rows: usize,
    /// Validation rows, taken from the training file.
    #[serde(default)]
    pub validation_rows: usize,
    /// Test rows.
    pub test_rows: usize,
    /// Rows of all three that were truncated to `max_length` tokens.
    pub truncated_rows: usize,
    /// The names of the classes. Empty in records of earlier releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The label and text columns, and how they were found. `None` for generated texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Reading>,
    /// SHA-256 of the training file, or of the generated texts, in hexadecimal.
    pub sha256: String,
    /// SHA-256 of the test file, likewise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub test_sha256: String,
}

impl DataRecord {
    /// A line with the numbers of rows, the classes (the first twenty), and the label and text columns.
    pub fn summary(&self) -> String {
        let mut classes = self.classes.iter().take(CLASSES_IN_SUMMARY).cloned().collect::<Vec<_>>().join(", ");
        if self.classes.len() > CLASSES_IN_SUMMARY {
            classes.push_str(", …");
        }
        let columns = self.columns.as_ref().map_or(String::new(), |columns| format!("; {columns}"));
        format!(
            "{}: {} training, {} validation and {} test rows; {} classes: {classes}{columns}",
            self.name,
            self.train_rows,
            self.validation_rows,
            self.test_rows,
            self.classes.len(),
        )
    }
}

/// The size of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// Layers, N_L.
    pub layers: usize,
    /// Heads a layer, N_H.
    pub heads: usize,
    /// Width of the hidden states, d.
    pub hidden: usize,
    /// Width of the feed-forward.
    pub ffn: usize,
    /// Trainable parameters of the full model, including embeddings and classifier.
    pub parameters: usize,
}

impl RunRecord {
    /// The version of the layout that this release writes.
    pub const SCHEMA: u32 = 2;

    /// Writes the record atomically.
    ///
    /// # Errors
    /// [`Error::Record`](crate::Error::Record) when a number is not finite,
    /// [`Error::Transformer`](crate::Error::Transformer) when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        json::save(self, path.as_ref())
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Error::Transformer`](crate::Error::Transformer) when the file cannot be read,
    /// [`Error::Record`](crate::Error::Record) when it is no record or of another release.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        json::load(path.as_ref(), Self::SCHEMA)
    }
}

#[cfg(test)]
mod tests;
