//! Selected maximum length of texts, and the trials that selected it.

use serde::{Deserialize, Serialize};

/// Trial of a maximum length of texts: score and cost of a regression on the states of the frozen encoder.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LengthTrial {
    /// Maximum number of tokens of a text.
    pub max_length: usize,
    /// Accuracy on the texts of the trial. Each text is answered by a regression that was fitted without this text.
    pub accuracy: f64,
    /// Mean loss on the texts of the trial, in nats.
    pub loss: f64,
    /// FLOPs of the trial: the forward pass and the fits.
    pub flops: u64,
    /// Wall-clock seconds of the trial.
    pub seconds: f64,
}

/// Selected maximum length of texts, with the trials that selected it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LengthChoice {
    /// Maximum number of tokens of a text.
    pub max_length: usize,
    /// Trials in the order in which they ran; empty if the length was selected [without trials](super::choose_length).
    pub trials: Vec<LengthTrial>,
}

impl LengthChoice {
    /// Sums the FLOPs of all trials.
    pub fn flops(&self) -> u64 {
        self.trials.iter().map(|trial| trial.flops).sum()
    }
}
