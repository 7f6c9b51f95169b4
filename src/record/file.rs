use std::collections::BTreeMap;
use std::path::Path;

use dht_transformer::{data::Columns, storage::write_atomically};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use dht_search::{Curves, Regret};

use super::operating_points::{KnobPoint, OracleResult};
use crate::error::{Error, RecordProblem, Result};

/// How many classes a summary names.
const CLASSES_IN_SUMMARY: usize = 20;

/// Everything that one run came to: the full model, truncations of it and the dynamic model on the same data.
///
/// Written as `record.json`. Keys come in one order, and no date or path of the machine is in it, so that two runs of
/// one seed differ in nothing but seconds (and what is derived from them).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The version of this layout: [`RunRecord::SCHEMA`].
    pub schema: u32,
    /// The configuration of the search: `T-DHT`.
    pub preset: String,
    /// What keyed every random choice.
    pub seed: u64,
    /// The example and the flags that made it, as they would be typed again: `t_dht`, `--epochs`, `2`. Paths of the
    /// machine are there by their last part. Empty in records of before this field.
    #[serde(default)]
    pub command: Vec<String>,
    /// What was trained and tested on.
    pub data: DataRecord,
    /// The size of the full model.
    pub model: ModelRecord,
    /// The full model.
    pub full: ModelResult,
    /// Models of the first `<k>` layers, trained in the same way.
    pub truncated: BTreeMap<usize, ModelResult>,
    /// The dynamic model.
    pub dynamic: DynamicResult,
    /// The dynamic model at settings of its run-time speed knob spread evenly over the FLOPs that it can come to, cheapest
    /// first. Empty where the rewards have no knob, since the cost was learned with them: ratio, log and clipped.
    #[serde(default)]
    pub knob: Vec<KnobPoint>,
    /// How many samples took each route.
    pub routes: RouteCounts,
    /// How the training of the dynamic model went.
    pub curves: Curves,
    /// Results on parts of the test set that are known to be easier or harder; easiest first, empty for real data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub difficulties: Vec<DifficultyResult>,
    /// Settings by their names: epochs, batch, learning rate, dispatch, …
    #[serde(default)]
    pub settings: BTreeMap<String, Value>,
    /// Where it ran.
    pub machine: Machine,
}

/// The data of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRecord {
    /// What the data set is called.
    pub name: String,
    /// Rows trained on, validation rows not counted.
    pub train_rows: usize,
    /// Rows that epochs were chosen on, taken from the training file.
    #[serde(default)]
    pub validation_rows: usize,
    /// Rows tested on.
    pub test_rows: usize,
    /// Rows of all three that lost tokens because they were longer than `max_length`.
    pub truncated_rows: usize,
    /// The names of the classes. Empty in records of before this field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The columns of label and texts, and how they were found. `None` for generated texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Columns>,
    /// SHA-256 of the training file (of the generated texts, for the embedded corpus), in hexadecimal.
    pub sha256: String,
    /// SHA-256 of the test file, likewise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub test_sha256: String,
}

impl DataRecord {
    /// A line that says what was read: rows, classes (the first twenty), and the columns of label and texts.
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
    /// Numbers a token between layers, d.
    pub hidden: usize,
    /// Neurons of a feed-forward.
    pub ffn: usize,
    /// Trainable numbers of the full model, embeddings and classifier among them.
    pub parameters: usize,
}

/// What a model came to. Tokenising is in none of the seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelResult {
    /// Macro F1 on the test set.
    pub macro_f1: f64,
    /// The share of the test set that was predicted right.
    pub accuracy: f64,
    /// Wall clock of training: batches, forward, backward, bandits, arm-feature pass; no optimiser, no validation.
    pub train_seconds: f64,
    /// Wall clock of predicting the test set.
    pub inference_seconds: f64,
    /// Wall clock of the optimiser.
    pub optimizer_seconds: f64,
    /// FLOPs of training, forward and backward, arm-feature pass and re-passes among them; no validation.
    pub train_flops: u64,
    /// FLOPs of predicting the test set.
    pub inference_flops: u64,
}

/// What the dynamic model came to, also beside the full model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DynamicResult {
    /// As for any model.
    #[serde(flatten)]
    pub result: ModelResult,
    /// `train_flops` over the full model's.
    pub train_flops_ratio: f64,
    /// `inference_flops` over the full model's.
    pub inference_flops_ratio: f64,
    /// The paper's cost estimate of training (layers × heads), as a share of the full model's.
    pub train_layer_head_ratio: f64,
    /// The paper's cost estimate of inference, likewise.
    pub inference_layer_head_ratio: f64,
    /// `train_seconds` over the full model's.
    pub train_wall_ratio: f64,
    /// `inference_seconds` over the full model's.
    pub inference_wall_ratio: f64,
    /// Wall clock of the bandits in training: pooling, selecting, updating.
    pub bandit_seconds: f64,
    /// Macro F1 of the same trained model when routes are drawn at random, in the mix that the bandits chose.
    pub random_macro_f1: f64,
    /// How the chosen routes compare with the best fixed one in hindsight, on the test set.
    #[serde(default)]
    pub regret: Regret,
    /// What the same trained model would come to if the best exit for each text were known.
    #[serde(default)]
    pub oracle: OracleResult,
}

/// The paper's cost estimate as a share of the full model's.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LayerHeadRatios {
    /// Over all samples trained on.
    pub train: f64,
    /// Over all samples tested on.
    pub inference: f64,
}

impl DynamicResult {
    /// Sets a dynamic model's result beside that of the full model.
    pub fn beside(
        full: &ModelResult,
        result: ModelResult,
        layer_head: LayerHeadRatios,
        bandit_seconds: f64,
        random_macro_f1: f64,
    ) -> Self {
        Self {
            result,
            train_flops_ratio: result.train_flops as f64 / full.train_flops as f64,
            inference_flops_ratio: result.inference_flops as f64 / full.inference_flops as f64,
            train_layer_head_ratio: layer_head.train,
            inference_layer_head_ratio: layer_head.inference,
            train_wall_ratio: result.train_seconds / full.train_seconds,
            inference_wall_ratio: result.inference_seconds / full.inference_seconds,
            bandit_seconds,
            random_macro_f1,
            regret: Regret::default(),
            oracle: OracleResult::default(),
        }
    }
}

/// How many samples took each route, by the route's notation: `12L8H`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteCounts {
    /// In training, each epoch counted.
    pub train: BTreeMap<String, u64>,
    /// On the test set.
    pub test: BTreeMap<String, u64>,
}

/// Results on the part of the test set that has one difficulty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DifficultyResult {
    /// What the part is called: `easy`.
    pub name: String,
    /// How many test rows it has.
    pub rows: usize,
    /// The mean depth that the dynamic model gave them, in layers.
    pub mean_depth: f64,
    /// Macro F1 of the dynamic model on them.
    pub dynamic_macro_f1: f64,
    /// Macro F1 of the full model on them.
    pub full_macro_f1: f64,
    /// Macro F1 of the truncations on them.
    #[serde(default)]
    pub truncated_macro_f1: BTreeMap<usize, f64>,
}

/// What a run ran on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's model.
    pub cpu: String,
    /// How many threads run at once.
    pub cores: usize,
    /// What the tensors lay on: `cpu`, `cuda`, `metal`.
    pub device: String,
    /// The operating system and the architecture.
    pub system: String,
    /// Versions of the compiler and of the crates that matter, by name.
    pub versions: BTreeMap<String, String>,
}

impl RunRecord {
    /// The version of the layout that this release writes.
    pub const SCHEMA: u32 = 1;

    /// Writes the record, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Record`] when a number is not finite, [`Error::Transformer`] when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let refused = |problem| Error::Record { path: path.into(), problem };
        let content = |error: serde_json::Error| refused(RecordProblem::Content { message: error.to_string() });
        // No field of a record is ever null but a float that is not finite.
        if let Some(field) = first_null(&serde_json::to_value(self).map_err(content)?) {
            return Err(refused(RecordProblem::NotFinite { field }));
        }
        let json = serde_json::to_string_pretty(self).map_err(content)?;
        write_atomically(path, |file| writeln!(file, "{json}"))?;
        Ok(())
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Error::Transformer`] when the file cannot be read, [`Error::Record`] when it is none or a later release's.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let io = |source| Error::Transformer(dht_transformer::Error::Io { path: path.into(), source });
        let refused = |problem| Error::Record { path: path.into(), problem };
        let content = |error: serde_json::Error| refused(RecordProblem::Content { message: error.to_string() });
        let bytes = std::fs::read(path).map_err(io)?;
        // A later layout may lack what this one needs: its version is looked at before anything else.
        let Version { schema } = serde_json::from_slice(&bytes).map_err(content)?;
        if schema > u64::from(Self::SCHEMA) {
            return Err(refused(RecordProblem::Newer { found: schema, supported: Self::SCHEMA }));
        }
        serde_json::from_slice(&bytes).map_err(content)
    }
}

#[derive(Deserialize)]
struct Version {
    schema: u64,
}

/// The path of the first null, if there is one. Settings may hold some.
fn first_null(record: &Value) -> Option<String> {
    fn search(value: &Value, path: &mut Vec<String>) -> bool {
        let mut enter = |key: String, value: &Value| {
            path.push(key);
            let found = search(value, path);
            if !found {
                path.pop();
            }
            found
        };
        match value {
            Value::Null => true,
            Value::Array(values) => values.iter().enumerate().any(|(place, value)| enter(place.to_string(), value)),
            Value::Object(fields) => fields.iter().any(|(key, value)| key != "settings" && enter(key.clone(), value)),
            _ => false,
        }
    }
    let mut path = Vec::new();
    search(record, &mut path).then(|| path.join("."))
}

#[cfg(test)]
mod tests;
