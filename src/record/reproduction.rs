//! The record of a reproduction: one row for each method and setting, over all seeds.

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
    /// The size of the full model.
    pub model: ModelRecord,
    /// The rows, in the order of the tables.
    pub rows: Vec<RowRecord>,
    /// What each kind of model scores at given costs, where the accelerated model has been run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_costs: Option<AtCosts>,
    /// Promises about the accelerated model's risk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub promises: Vec<PromiseTrial>,
}

impl Results for Reproduction {}

/// A record of it.
pub type ReproductionRecord = Record<Reproduction>;

/// The kind of a row, by which tables and figures group and colour it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowGroup {
    /// The full model.
    #[default]
    Full,
    /// Truncations, plain and distilled.
    Truncation,
    /// `DistilBERT`.
    DistilBert,
    /// `FastBERT`.
    FastBert,
    /// PABEE.
    Pabee,
    /// The linear n-gram model, alone, stacked and in cascades.
    Ngram,
    /// The full model with exits that were fitted afterwards, and the n-gram model in front.
    Accelerated,
    /// T-, S-, F- and P-DHT with the paper's settings.
    AsPublished,
    /// The same with this project's settings.
    Ours,
}

/// One method at one setting: the means over its seeds. Ratios are taken seed by seed against the full model of the same
/// epochs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RowRecord {
    /// The method: `full`, `truncation`, `FastBERT`, `T-DHT`, …
    pub method: String,
    /// Its setting: `3 layers`, `speed 0.5`, `as published`; empty where there is one only.
    pub setting: String,
    /// The kind of row.
    pub group: RowGroup,
    /// The seeds that finished.
    pub seeds: Vec<u64>,
    /// Epochs of the row's training and of the full model that it is compared with.
    pub epochs: usize,
    /// Why it failed, by seed; empty when all seeds finished. Without a finished seed all numbers are 0.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<u64, String>,
    /// The test texts that are answered right; records of earlier releases do not have them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub right: RightTexts,
    /// Macro F1 on the test set.
    pub macro_f1: Summary,
    /// Accuracy on the test set.
    pub accuracy: Summary,
    /// Macro F1 of the full model less the row's, the mean over seeds.
    pub deficit: f64,
    /// The one-sided upper 95 % bound of the deficit: paired bootstrap over test texts, and over seeds where there are
    /// several.
    pub deficit_upper95: f64,
    /// FLOPs of training over the full model's, with all that the method needs before: teacher, pre-passes, calibration,
    /// bandits.
    pub train_flops_ratio: f64,
    /// FLOPs of predicting the test set over the full model's.
    pub inference_flops_ratio: f64,
    /// The paper's cost of training, layers × heads.
    pub train_layer_head_ratio: f64,
    /// The paper's cost of inference, likewise.
    pub inference_layer_head_ratio: f64,
    /// Wall clock of training over the full model's, likewise with all that comes before.
    pub train_wall_ratio: f64,
    /// Wall clock of predicting the test set over the full model's: both warm, in turns, medians of several passes.
    pub inference_wall_ratio: f64,
    /// The same with one text after another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single_text_wall_ratio: Option<f64>,
    /// Macro F1 with the routes shuffled among the texts, for methods that choose a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random_macro_f1: Option<Summary>,
    /// Routes of the first seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<RouteCounts>,
    /// Curves of the first seed's training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curves: Option<Curves>,
    /// Where the row differs from its source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deviations: Vec<String>,
}

mod parts;
