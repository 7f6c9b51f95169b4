//! Record of a head ablation: scores of a classifier without each head, and with each head alone in its layer.

use serde::{Deserialize, Serialize};

use super::data::ModelRecord;
use super::record::{Record, Results};

/// Run of the example `heads`, written as `record.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AblatedHeads {
    /// Metric of the scores: `accuracy`, `Matthews correlation`, …
    pub metric: String,
    /// Size of the classifier.
    pub model: ModelRecord,
    /// Score with all heads.
    pub score: f64,
    /// Ablated heads.
    pub heads: Vec<HeadScores>,
}

impl Results for AblatedHeads {}

/// Record of a head ablation.
pub type HeadAblationRecord = Record<AblatedHeads>;

/// Scores of an ablated head.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeadScores {
    /// Layer of the head, from 0.
    pub layer: usize,
    /// Number of the head in its layer, from 0.
    pub head: usize,
    /// Score without the head; missing for the only head of a layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<f64>,
    /// Score with the head alone in its layer.
    pub alone: f64,
}
