//! Record of a reproduction: one row for each method and setting, over all seeds.

use std::collections::BTreeMap;

use dht_search::training::Curves;
use serde::{Deserialize, Serialize};

use super::at_costs::AtCosts;
use super::data::ModelRecord;
use super::promises::PromiseTrial;
use super::record::{Record, Results};
use super::right::RightTexts;
use super::routes::RouteCounts;
use super::summary::Summary;

/// All rows of a reproduction on one data set, `record.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reproduction {
    /// Size of the full model.
    pub model: ModelRecord,
    /// Rows in the order of the tables.
    pub rows: Vec<RowRecord>,
    /// Scores of each kind of model at fixed inference costs, if the accelerated model has run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_costs: Option<AtCosts>,
    /// Tests of the risk guarantees of the accelerated model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub promises: Vec<PromiseTrial>,
}

impl Results for Reproduction {}

/// Record of a reproduction.
pub type ReproductionRecord = Record<Reproduction>;

/// Kind of method of a row. Tables and figures group and colour rows by this kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowGroup {
    /// Full model.
    #[default]
    Full,
    /// First layers of the encoder with a separate classifier (truncations), fine-tuned or distilled.
    Truncation,
    /// `DistilBERT`.
    DistilBert,
    /// `FastBERT`.
    FastBert,
    /// PABEE.
    Pabee,
    /// Linear n-gram model, alone, stacked and in cascades.
    Ngram,
    /// Accelerated full model: exits fitted afterwards, and an n-gram exit at depth 0.
    Accelerated,
    /// The search presets T-, S-, F- and P-DHT with the settings of the DHT paper (Meng et al. 2023).
    AsPublished,
    /// The search presets T-, S-, F- and P-DHT with this project's settings.
    Ours,
}

/// Row of a reproduction: one method at one setting, averaged over its seeds. Ratios are computed for each seed against
/// the full model of the same number of epochs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RowRecord {
    /// Method: `full`, `truncation`, `FastBERT`, `T-DHT`, …
    pub method: String,
    /// Setting of the method: `3 layers`, `speed 0.5`, `as published`; empty if there is only one setting.
    pub setting: String,
    /// Kind of the row.
    pub group: RowGroup,
    /// Seeds that finished.
    pub seeds: Vec<u64>,
    /// Number of epochs that the row's model trained for. The full model with which the row is compared has the same
    /// number.
    pub epochs: usize,
    /// Reasons of failed seeds; empty if all seeds finished. Without a finished seed all numbers are 0.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<u64, String>,
    /// Correctness of each test text; missing in records of earlier releases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub right: RightTexts,
    /// Macro F1 on the test set.
    pub macro_f1: Summary,
    /// Accuracy on the test set.
    pub accuracy: Summary,
    /// Macro F1 of the full model minus the row's, averaged over seeds.
    pub deficit: f64,
    /// One-sided upper 95 % bound of the deficit: paired bootstrap over test texts, and over seeds if there are
    /// several.
    pub deficit_upper95: f64,
    /// FLOPs of training divided by the full model's, including all prerequisites of the method: teacher, pre-passes,
    /// calibration, bandits.
    pub train_flops_ratio: f64,
    /// FLOPs of predicting the test set divided by the full model's.
    pub inference_flops_ratio: f64,
    /// Cost of training, estimated as layers × heads as in the DHT paper (Meng et al. 2023), divided by the full
    /// model's.
    pub train_layer_head_ratio: f64,
    /// Cost of inference, estimated as layers × heads as in the DHT paper (Meng et al. 2023), divided by the full
    /// model's.
    pub inference_layer_head_ratio: f64,
    /// Wall clock of training divided by the full model's, including all prerequisites of the method.
    pub train_wall_ratio: f64,
    /// Prediction time of the test set divided by the full model's. Both models are warm and run in turns; the times
    /// are medians of several passes.
    pub inference_wall_ratio: f64,
    /// Prediction time of single texts, one after another instead of in batches, divided by the full model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single_text_wall_ratio: Option<f64>,
    /// Macro F1 with the routes shuffled among the texts, for methods that select a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random_macro_f1: Option<Summary>,
    /// Routes of the first seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<RouteCounts>,
    /// Curves of the first seed's training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curves: Option<Curves>,
    /// Deviations of the row's method from the publication that it reproduces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deviations: Vec<String>,
}

mod parts;
