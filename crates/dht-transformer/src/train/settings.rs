//! Settings of the trainer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::optim::{AdamWSettings, Schedule};
use crate::error::{Error, Result};

/// Settings of a training run, without learned state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSettings {
    /// Number of passes over the training samples.
    pub epochs: usize,
    /// Batch size, in samples.
    pub batch_size: usize,
    /// Gradient accumulation: number of losses per optimiser step. An ordinary objective has one loss for each batch.
    /// The result equals that of one batch of the accumulated size, with the memory of a small batch. The last step of
    /// an epoch may have fewer losses.
    pub accumulate: usize,
    /// Number of batches whose samples are sorted by length together, so that a batch has texts of similar length; 1
    /// gives a plain shuffle.
    pub length_window: usize,
    /// Seed that determines the order of samples and the dropout masks.
    pub seed: u64,
    /// Optimiser settings; `learning_rate` is the peak of the schedule.
    pub optimizer: AdamWSettings,
    /// Learning-rate schedule over the whole training run.
    pub schedule: Schedule,
    /// `true` to end with the parameters that had the best validation score.
    pub keep_best: bool,
    /// Early stopping: the run ends after this number of consecutive epochs without a better validation score; `None`
    /// disables it. The learning-rate schedule still spans all epochs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Optimiser steps between two evaluations on the validation samples, in addition to the evaluation at the end of
    /// each epoch; `None` evaluates at the ends of epochs only. With [`keep_best`](Self::keep_best) the run then
    /// ends with the parameters of the best step. Nothing else changes: `patience` still counts epochs, by the score at
    /// the end of each epoch. If one batch gives several steps, the evaluation follows the batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluate_every: Option<usize>,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            epochs: 3,
            batch_size: 32,
            accumulate: 1,
            length_window: 8,
            seed: 0,
            optimizer: AdamWSettings::default(),
            schedule: Schedule::default(),
            keep_best: true,
            patience: None,
            evaluate_every: None,
        }
    }
}

/// Path and frequency of checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSettings {
    /// Checkpoint file; written atomically.
    pub path: PathBuf,
    /// Optimiser steps between two checkpoints. A checkpoint is always written at the end of each epoch.
    pub every_steps: u64,
    /// `true` to resume from the file if it exists.
    pub resume: bool,
}

impl TrainSettings {
    /// Checks that the settings are valid.
    ///
    /// # Errors
    /// [`Error::Argument`] names the first invalid setting.
    pub fn check(&self) -> Result<()> {
        let counts = [
            ("epochs", self.epochs),
            ("batch_size", self.batch_size),
            ("accumulate", self.accumulate),
            ("length_window", self.length_window),
            ("patience", self.patience.unwrap_or(1)),
            ("evaluate_every", self.evaluate_every.unwrap_or(1)),
        ];
        if let Some((field, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(Error::argument(field, "at least 1", "0"));
        }
        self.schedule.check()
    }
}
