//! A classifier without one head, and with one head alone.

use serde::{Deserialize, Serialize};

use super::data::ModelRecord;
use super::record::{Record, Results};

/// A run of the example `heads`, written as `record.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AblatedHeads {
    /// The score: `accuracy`, `Matthews correlation`, …
    pub metric: String,
    /// The classifier's size.
    pub model: ModelRecord,
    /// Its score with all heads.
    pub score: f64,
    /// The ablated heads.
    pub heads: Vec<HeadScores>,
}

impl Results for AblatedHeads {}

/// A record of it.
pub type HeadAblationRecord = Record<AblatedHeads>;

/// Scores of an ablated head.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeadScores {
    /// Its layer, from 0.
    pub layer: usize,
    /// Its number in the layer, from 0.
    pub head: usize,
    /// The score without it; missing for the only head of a layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<f64>,
    /// The score with it alone in its layer.
    pub alone: f64,
}
