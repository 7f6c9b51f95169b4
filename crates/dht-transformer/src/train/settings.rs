//! Settings of training runs and of their checkpoints.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::optim::{AdamWSettings, Schedule};
use crate::error::{Error, Result};

/// Settings of a training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSettings {
    /// Number of passes over the training samples.
    pub epochs: usize,
    /// Number of samples in a batch.
    pub batch_size: usize,
    /// Gradient accumulation: number of losses for each optimiser step. An ordinary objective has one loss for each
    /// batch. The result equals that of one batch of the accumulated size, with the memory of a small batch. The last
    /// step of an epoch may have fewer losses.
    pub accumulate: usize,
    /// Number of batches whose samples are sorted by length together, so that a batch has texts of similar length. With
    /// 1, samples are only shuffled.
    pub length_window: usize,
    /// Seed that determines the order of samples and the dropout masks.
    pub seed: u64,
    /// Settings of the optimiser. `learning_rate` is the maximum rate of the schedule.
    pub optimizer: AdamWSettings,
    /// Learning-rate schedule over the whole training run.
    pub schedule: Schedule,
    /// `true` to end with the parameters that had the best validation score, not with the last ones.
    pub keep_best: bool,
    /// Early stopping: the run ends after this number of consecutive epochs without a better validation score. `None`
    /// disables it. The learning-rate schedule still spans all epochs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Number of optimiser steps between two evaluations on the validation samples, in addition to the evaluation at
    /// the end of each epoch. `None` evaluates only at the ends of epochs. With [`keep_best`](Self::keep_best), the run
    /// ends with the parameters of the best evaluated step. `patience` still counts epochs, by the score at the end of
    /// each epoch. If one batch gives several steps, the evaluation follows the batch.
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
    /// Path of the checkpoint file, which is written atomically.
    pub path: PathBuf,
    /// Number of optimiser steps between two checkpoints. In addition, a checkpoint is written at the end of each
    /// epoch.
    pub every_steps: u64,
    /// `true` to resume the run from the file if it exists.
    pub resume: bool,
}

impl TrainSettings {
    /// Checks that the settings are valid.
    ///
    /// # Errors
    /// [`Error::Argument`] with the name of the first invalid setting.
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
