//! Results of a training run, by step and by epoch.

use serde::{Deserialize, Serialize};

/// Results of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Mean training loss of the epoch's samples, in nats.
    pub loss: f64,
    /// [Score](super::Objective::score) on the validation samples after the epoch; `None` without validation samples.
    pub validation_score: Option<f64>,
}

/// Validation score after a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Optimiser steps so far.
    pub step: u64,
    /// [Score](super::Objective::score) on the validation samples.
    pub validation_score: f64,
}

/// Results of a training run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Completed fraction of the run and mean loss, for each optimiser step.
    pub losses: Vec<(f64, f64)>,
    /// Records of the epochs.
    pub epochs: Vec<EpochRecord>,
    /// Evaluations between the ends of epochs, if [`evaluate_every`](crate::TrainSettings::evaluate_every) requests
    /// them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evaluations: Vec<StepRecord>,
    /// Epoch of the best parameters, with which the model ends; `None` without
    /// [`keep_best`](crate::TrainSettings::keep_best).
    pub best_epoch: Option<usize>,
    /// Number of optimiser steps after which the best parameters were evaluated; `None` as for `best_epoch`.
    #[serde(default)]
    pub best_step: Option<u64>,
    /// Score of the best parameters on the validation samples.
    #[serde(default)]
    pub best_score: Option<f64>,
    /// Number of optimiser steps.
    pub steps: u64,
    /// Number of steps that were skipped because a gradient was not finite.
    pub skipped_steps: u64,
    /// Number of training samples processed.
    pub samples: u64,
    /// Wall-clock time in seconds of the [preparation](super::Objective::prepare) and of all steps: building batches,
    /// forward and backward passes, and the optimiser.
    pub train_seconds: f64,
    /// Seconds of `train_seconds` that were spent in the optimiser.
    pub optimizer_seconds: f64,
}
