//! The results of the models of a run.

use std::collections::BTreeMap;

use dht_search::Regret;
use serde::{Deserialize, Serialize};

use super::operating_points::{OperatingPoint, OracleResult};

/// Scores and costs of a model. No field contains the time of tokenising.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelResult {
    /// Macro F1 on the test set.
    pub macro_f1: f64,
    /// Accuracy on the test set.
    pub accuracy: f64,
    /// Wall clock of training: batches, forward, backward, bandits, passes for arm features; without optimiser and
    /// validation. The models of a run are trained once each, one after another, not in turns: what else the machine did
    /// meanwhile is in it.
    pub train_seconds: f64,
    /// Wall clock of predicting the test set: the median of several passes, in turns with the other models of the run, each
    /// with packed weights and after a pass to warm up. In records of earlier releases one pass of each model, cold.
    pub inference_seconds: f64,
    /// Wall clock of the optimiser.
    pub optimizer_seconds: f64,
    /// FLOPs of training: forward and backward, including second passes and passes for arm features; without validation.
    pub train_flops: u64,
    /// FLOPs of predicting the test set.
    pub inference_flops: u64,
}

/// The results of a dynamic model, and their ratios to the full model's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DynamicResult {
    /// As for any model.
    #[serde(flatten)]
    pub result: ModelResult,
    /// `train_flops` over the full model's.
    pub train_flops_ratio: f64,
    /// `inference_flops` over the full model's.
    pub inference_flops_ratio: f64,
    /// The paper's cost estimate of training (layers × heads), as a share of the full model's. Of an accelerated model 1, for
    /// the training of the full model; its exits are not in it.
    pub train_layer_head_ratio: f64,
    /// The paper's cost estimate of inference, likewise.
    pub inference_layer_head_ratio: f64,
    /// `train_seconds` over the full model's.
    pub train_wall_ratio: f64,
    /// `inference_seconds` over the full model's.
    pub inference_wall_ratio: f64,
    /// Macro F1 of the same trained model when the chosen routes are shuffled among the texts.
    pub random_macro_f1: f64,
}

/// The results of a search, where bandits choose in training too.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchResult {
    /// As for any dynamic model.
    #[serde(flatten)]
    pub dynamic: DynamicResult,
    /// Wall clock of the bandits in training: pooling, selecting, updating.
    pub bandit_seconds: f64,
    /// How often a training step waits for the device, so that a decision can read its rows.
    #[serde(default)]
    pub synchronisations_per_step: f64,
    /// The chosen routes against the best fixed route in hindsight, on the test set.
    pub regret: Regret,
    /// The same trained model on the best exit of each text, chosen with the label known.
    pub oracle: OracleResult,
    /// The model at several speeds λ, spread evenly over its range of FLOPs, cheapest first; `knob` in the file. Empty for
    /// rewards without λ (ratio, log and clipped), where the cost is learned with the reward.
    #[serde(rename = "knob")]
    pub operating_points: Vec<OperatingPoint>,
}

impl DynamicResult {
    /// A dynamic model's result with its ratios to the full model's; all other fields are 0.
    pub fn beside(full: &ModelResult, result: ModelResult) -> Self {
        Self {
            result,
            train_flops_ratio: result.train_flops as f64 / full.train_flops as f64,
            inference_flops_ratio: result.inference_flops as f64 / full.inference_flops as f64,
            train_wall_ratio: result.train_seconds / full.train_seconds,
            inference_wall_ratio: result.inference_seconds / full.inference_seconds,
            ..Self::default()
        }
    }
}

/// The number of samples on each route of the search, by the route's notation: `12L8H`.
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
    /// The name of the part: `easy`.
    pub name: String,
    /// Its number of test rows.
    pub rows: usize,
    /// The mean depth of their routes in the dynamic model, in layers.
    pub mean_depth: f64,
    /// Macro F1 of the dynamic model on them.
    pub dynamic_macro_f1: f64,
    /// Macro F1 of the full model on them.
    pub full_macro_f1: f64,
    /// Macro F1 of the truncations on them.
    #[serde(default)]
    pub truncated_macro_f1: BTreeMap<usize, f64>,
}
