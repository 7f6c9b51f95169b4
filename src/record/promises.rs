//! Promises about risk, made on many draws of calibration texts.

use serde::{Deserialize, Serialize};

/// How one promise fared over many draws of calibration texts from the test texts, which stand for all texts: so the true risk of
/// a threshold is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromiseTrial {
    /// What is promised: `accuracy lost`, `answers that differ`.
    pub risk: String,
    /// The limit.
    pub most: f64,
    /// The confidence.
    pub confidence: f64,
    /// Calibration texts in a draw.
    pub rows: usize,
    /// The draws.
    pub draws: usize,
    /// The share of the draws on which a promise could be made.
    pub made: f64,
    /// The share of the draws on which it was not broken: where none was made, the full model runs.
    pub kept: f64,
    /// FLOPs over the full model's, the mean over draws; 1 where no promise was made.
    pub flops_ratio: f64,
    /// The true risk, the mean over draws; 0 where no promise was made.
    pub lost: f64,
}
