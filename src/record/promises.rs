//! Record of risk guarantees that were tested on many draws of calibration texts.

use serde::{Deserialize, Serialize};

/// Result of one risk guarantee, tested on many draws of calibration texts. The draws are from the test texts, which
/// are treated as the whole population, so that the true risk of a threshold is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromiseTrial {
    /// Risk that the guarantee limits: `accuracy lost` or `answers that differ`.
    pub risk: String,
    /// Upper limit of the risk.
    pub most: f64,
    /// Confidence of the guarantee.
    pub confidence: f64,
    /// Number of calibration texts in a draw.
    pub rows: usize,
    /// Number of draws.
    pub draws: usize,
    /// Share of the draws on which some threshold could be guaranteed.
    pub made: f64,
    /// Share of the draws on which the true risk was within the limit `most`. Draws without a guaranteed threshold
    /// count as kept, since the full model runs.
    pub kept: f64,
    /// FLOPs divided by the full model's, averaged over draws; a draw without a guaranteed threshold counts as 1.
    pub flops_ratio: f64,
    /// True risk, averaged over draws; a draw without a guaranteed threshold counts as 0.
    pub lost: f64,
}
