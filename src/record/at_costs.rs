//! Scores at given costs of inference: of this project's model beside every kind of opponent.

use serde::{Deserialize, Serialize};

use super::summary::Summary;

/// What each kind of model scores at each cost. Thresholds, and which model of a kind is taken, are chosen on validation rows;
/// the scores are those of the test rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AtCosts {
    /// FLOPs of inference over the full model's.
    pub costs: Vec<f64>,
    /// One kind of model each.
    pub rows: Vec<KindAtCosts>,
    /// This project's model against others.
    pub comparisons: Vec<Comparison>,
}

/// What a kind of opponent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoders {
    /// No encoder.
    None,
    /// One encoder, whole or up to some layer.
    One,
    /// Two encoders in a row.
    Two,
    /// This project's accelerated model: one encoder.
    Accelerated,
}

/// A kind of model at each cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KindAtCosts {
    /// The kind.
    pub kind: String,
    /// What it runs.
    pub encoders: Encoders,
    /// The seeds that finished.
    pub seeds: Vec<u64>,
    /// By ascending cost; costs below that of every model of the kind are missing.
    pub cells: Vec<CellAtCost>,
}

/// A kind of model at one cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellAtCost {
    /// The cost.
    pub cost: f64,
    /// The model of the kind with the highest accuracy on validation rows.
    pub setting: String,
    /// On the test rows.
    pub accuracy: Summary,
    /// On the test rows.
    pub macro_f1: Summary,
    /// FLOPs over the full model's, on the test rows.
    pub flops_ratio: f64,
}

/// Accuracy of this project's model less that of the best of some others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What it is compared with.
    pub against: String,
    /// By ascending cost; costs at which one of both cannot be had are missing.
    pub differences: Vec<Difference>,
    /// The mean over the costs from .1 to .35 that have a difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<Interval>,
}

/// A difference at one cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The cost.
    pub cost: f64,
    /// The model with the highest accuracy on validation rows.
    pub rival: String,
    /// Accuracy on the test rows less the rival's.
    pub interval: Interval,
    /// The same against the model with the highest accuracy on the test rows, which favours that one.
    pub best_on_test: f64,
}

/// A mean and its two-sided 95 % interval: paired bootstrap over test texts, and over seeds where there are several.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// The lower end.
    pub lower: f64,
    /// The upper end.
    pub upper: f64,
}
