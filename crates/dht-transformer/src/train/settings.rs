//! The settings of the trainer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::optim::{AdamWSettings, Schedule};
use crate::error::{Error, Result};

/// How a training runs. Learned state is elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSettings {
    /// How often the training samples are gone through.
    pub epochs: usize,
    /// Samples a batch.
    pub batch_size: usize,
    /// Losses (of a batch each, in a plain training) whose gradients are added up for one optimiser step: as one batch
    /// so many times as large, for the memory of a small one. The last step of an epoch may have fewer.
    pub accumulate: usize,
    /// Batches that are sorted by length together; 1 is a plain shuffle.
    pub length_window: usize,
    /// Keys order and dropout.
    pub seed: u64,
    /// The optimiser; its `learning_rate` is the peak of the schedule.
    pub optimizer: AdamWSettings,
    /// The course of the learning rate over the samples.
    pub schedule: Schedule,
    /// Whether the parameters that did best on the validation samples come back at the end.
    pub keep_best: bool,
    /// Early stopping: the training ends after so many epochs in a row whose validation score was not better than the best
    /// before; `None` for never. The schedule of the learning rate is that of all epochs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Optimiser steps between two evaluations on the validation samples, beside that at the end of each epoch; `None` for the epochs
    /// alone. With [`keep_best`](Self::keep_best) the parameters that come back are then those of the best step. It takes part in nothing
    /// else: patience still counts epochs by the score at their end. Where one batch makes several steps, the evaluation comes after
    /// the batch.
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

/// Where a training is kept, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSettings {
    /// The file; written whole or not at all.
    pub path: PathBuf,
    /// Optimiser steps between two checkpoints; each epoch ends with one in any case.
    pub every_steps: u64,
    /// Whether to go on from the file if it is there.
    pub resume: bool,
}

impl TrainSettings {
    /// Whether the settings are possible.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first that is not.
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
            return Err(Error::setting(field, "at least 1", "0"));
        }
        self.schedule.check()
    }
}
