//! Results of a reproduction, with one row for each method and setting.

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

/// Results of a reproduction on one data set, in `record.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reproduction {
    /// Size of the full model.
    pub model: ModelRecord,
    /// Result of each method and setting, in the order of the tables.
    pub rows: Vec<RowRecord>,
    /// Scores of each kind of model at fixed inference costs, if the accelerated model has run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_costs: Option<AtCosts>,
    /// Tests of the accelerated model's risk guarantees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub promises: Vec<PromiseTrial>,
}

impl Results for Reproduction {}

/// Result file of a reproduction.
pub type ReproductionRecord = Record<Reproduction>;

/// Group of methods, by which tables and figures group and colour results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowGroup {
    /// Full model.
    #[default]
    Full,
    /// First layers of the encoder with a separate classifier (truncation), fine-tuned or distilled.
    Truncation,
    /// DistilBERT: a student with fewer layers, distilled from the full model.
    DistilBert,
    /// FastBERT: exits distilled from the frozen full model, with an entropy threshold.
    FastBert,
    /// PABEE: jointly trained exits with patience.
    Pabee,
    /// Linear n-gram model: alone, stacked on classifiers, and in cascades.
    Ngram,
    /// Accelerated full model: exits fitted after its training, and an n-gram exit before the first layer.
    Accelerated,
    /// The search presets T-, S-, F- and P-DHT with the settings of the DHT paper (Meng et al. 2023).
    AsPublished,
    /// The search presets T-, S-, F- and P-DHT with this project's settings.
    Ours,
}

/// Result of one method at one setting, averaged over seeds. Ratios are computed for each seed against the full model
/// with the same number of epochs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RowRecord {
    /// Method: `full`, `truncation`, `FastBERT`, `T-DHT`, …
    pub method: String,
    /// Setting of the method: `3 layers`, `speed 0.5`, `as published`; empty if there is only one setting.
    pub setting: String,
    /// Group of the method.
    pub group: RowGroup,
    /// Seeds whose training runs finished.
    pub seeds: Vec<u64>,
    /// Number of training epochs. The full model with which the method is compared has the same number.
    pub epochs: usize,
    /// Reasons of failures by seed; empty if all training runs finished. If none finished, all numbers are 0.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<u64, String>,
    /// Correctness of each test prediction; missing in results of earlier releases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub right: RightTexts,
    /// Macro F1 on the test set.
    pub macro_f1: Summary,
    /// Accuracy on the test set.
    pub accuracy: Summary,
    /// Deficit: macro F1 of the full model minus that of this method, averaged over seeds.
    pub deficit: f64,
    /// One-sided upper 95 % bound of the deficit: paired bootstrap over test texts, and over seeds if there are
    /// several.
    pub deficit_upper95: f64,
    /// FLOPs of training divided by the full model's, including teacher, pre-passes, calibration and bandits, if the
    /// method requires them.
    pub train_flops_ratio: f64,
    /// FLOPs of predicting the test set divided by the full model's.
    pub inference_flops_ratio: f64,
    /// Cost of training, estimated as layers × heads as in the DHT paper (Meng et al. 2023), divided by the full
    /// model's.
    pub train_layer_head_ratio: f64,
    /// Cost of inference, estimated as layers × heads as in the DHT paper (Meng et al. 2023), divided by the full
    /// model's.
    pub inference_layer_head_ratio: f64,
    /// Wall-clock time of training divided by the full model's, including teacher, pre-passes, calibration and bandits,
    /// if the method requires them.
    pub train_wall_ratio: f64,
    /// Prediction time of the test set divided by the full model's. Both models are warm and run in turns; the times
    /// are medians of several passes.
    pub inference_wall_ratio: f64,
    /// Prediction time of test texts one by one, divided by the full model's. Missing if it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single_text_wall_ratio: Option<f64>,
    /// Macro F1 after assigning the selected routes to the texts at random; only for methods that select a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random_macro_f1: Option<Summary>,
    /// Number of samples on each route, with the first seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<RouteCounts>,
    /// Training curves of the first seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curves: Option<Curves>,
    /// Deviations of the method from its publication.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deviations: Vec<String>,
}

mod parts;
