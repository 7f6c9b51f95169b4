//! Results of a head ablation: scores of a classifier without each attention head, and with only that head in its
//! layer.

use serde::{Deserialize, Serialize};

use super::data::ModelRecord;
use super::record::{Record, Results};

/// Results of the example `heads`, in `record.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AblatedHeads {
    /// Metric of the scores: `accuracy`, `Matthews correlation`, …
    pub metric: String,
    /// Size of the classifier.
    pub model: ModelRecord,
    /// Score with all heads.
    pub score: f64,
    /// Scores for each ablated head.
    pub heads: Vec<HeadScores>,
}

impl Results for AblatedHeads {}

/// Result file of a head ablation.
pub type HeadAblationRecord = Record<AblatedHeads>;

/// Scores of a classifier without an attention head, and with only that head in its layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeadScores {
    /// Layer of the head, from 0.
    pub layer: usize,
    /// Number of the head in its layer, from 0.
    pub head: usize,
    /// Score without the head; missing for the only head of a layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<f64>,
    /// Score with only this head in its layer.
    pub alone: f64,
}
