//! Results of testing risk guarantees on many random sets of calibration texts.

use serde::{Deserialize, Serialize};

/// Result of testing one risk guarantee on many random sets of calibration texts. They are drawn from the test texts,
/// which are treated as the whole population, so that the true risk of a threshold is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromiseTrial {
    /// Risk that the guarantee limits: `accuracy lost` or `answers that differ`.
    pub risk: String,
    /// Guaranteed upper limit of the risk.
    pub most: f64,
    /// Confidence level of the guarantee.
    pub confidence: f64,
    /// Number of texts in a calibration set.
    pub rows: usize,
    /// Number of random calibration sets.
    pub draws: usize,
    /// Share of the calibration sets for which some threshold could be guaranteed.
    pub made: f64,
    /// Share of the calibration sets for which the true risk was at most the guaranteed limit. A set without a
    /// guaranteed threshold counts, since the full model then runs.
    pub kept: f64,
    /// FLOPs divided by the full model's, averaged over calibration sets; a set without a guaranteed threshold counts
    /// as 1.
    pub flops_ratio: f64,
    /// True risk, averaged over calibration sets; a set without a guaranteed threshold counts as 0.
    pub lost: f64,
}
