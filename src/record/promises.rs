//! Records of promises about risk, made on many draws of calibration texts.

use serde::{Deserialize, Serialize};

/// Result of one promise over many draws of calibration texts from the test texts. The test texts are the whole
/// population, so that the true risk of a threshold is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromiseTrial {
    /// Promised risk: `accuracy lost`, `answers that differ`.
    pub risk: String,
    /// Limit of the risk.
    pub most: f64,
    /// Confidence of the promise.
    pub confidence: f64,
    /// Number of calibration texts in a draw.
    pub rows: usize,
    /// Number of draws.
    pub draws: usize,
    /// Share of the draws on which a promise could be made.
    pub made: f64,
    /// Share of the draws on which the promise was not broken. Without a promise the full model runs.
    pub kept: f64,
    /// FLOPs divided by the full model's, averaged over draws; 1 without a promise.
    pub flops_ratio: f64,
    /// True risk, averaged over draws; 0 without a promise.
    pub lost: f64,
}
