//! One trained model at several speeds, and its baselines.

use serde::{Deserialize, Serialize};

/// A trained model at one speed, which is calibrated on the validation rows. Everything else is measured on the test set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// The speed: λ, the loss in nats that the cost of the full model is worth, or the threshold of an accelerated model.
    pub lambda: f64,
    /// FLOPs of predicting the test set, including the bandits', over the full model's.
    pub inference_flops_ratio: f64,
    /// Macro F1.
    pub macro_f1: f64,
    /// Macro F1 with the same routes shuffled among the texts, the mean of several shuffles.
    pub random_macro_f1: f64,
    /// Macro F1 of models of fixed depth at the same FLOPs: see [`RunRecord::truncated_macro_f1_at`](crate::record::RunRecord::truncated_macro_f1_at).
    pub truncated_macro_f1: f64,
}

/// The result of the best fixed arm of each text, chosen with the label known, at the model's λ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct OracleResult {
    /// Macro F1.
    pub macro_f1: f64,
    /// FLOPs of predicting the test set over the full model's; the choice itself costs nothing.
    pub inference_flops_ratio: f64,
}
