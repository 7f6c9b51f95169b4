//! Selected maximum text length, and the trials by which it was selected.

use serde::{Deserialize, Serialize};

/// Trial of a maximum text length: score and cost of a logistic regression on the frozen encoder, with truncated texts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LengthTrial {
    /// Maximum number of tokens per text; longer texts are truncated.
    pub max_length: usize,
    /// Out-of-fold accuracy: each text is answered by a regression that was fitted without it.
    pub accuracy: f64,
    /// Mean out-of-fold loss, in nats.
    pub loss: f64,
    /// FLOPs of the trial: the encoder's forward pass and the fits of the regression.
    pub flops: u64,
    /// Wall-clock seconds of the trial.
    pub seconds: f64,
}

/// Selected maximum text length, with the trials that selected it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LengthChoice {
    /// Selected maximum number of tokens per text; longer texts are truncated.
    pub max_length: usize,
    /// Trials of lengths, in the order in which they ran; empty if the length was selected [without
    /// trials](super::choose_length).
    pub trials: Vec<LengthTrial>,
}

impl LengthChoice {
    /// Total FLOPs of all trials.
    pub fn flops(&self) -> u64 {
        self.trials.iter().map(|trial| trial.flops).sum()
    }
}
