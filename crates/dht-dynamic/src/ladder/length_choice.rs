//! A length of texts, and the trials that selected it.

use serde::{Deserialize, Serialize};

/// Trial of a length, on the states of the frozen encoder.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LengthTrial {
    /// Maximum number of tokens of a text.
    pub max_length: usize,
    /// Accuracy on the texts of the trial. Each is answered by a regression that was fitted without it.
    pub accuracy: f64,
    /// Mean loss of these answers, in nats.
    pub loss: f64,
    /// FLOPs: the forward pass and the fits.
    pub flops: u64,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// A maximum length of texts, with the trials that selected it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LengthChoice {
    /// Maximum number of tokens of a text.
    pub max_length: usize,
    /// The trials, in their order; none if their limits forbid them.
    pub trials: Vec<LengthTrial>,
}

impl LengthChoice {
    /// FLOPs of all trials.
    pub fn flops(&self) -> u64 {
        self.trials.iter().map(|trial| trial.flops).sum()
    }
}
