//! Results of a training run for each step and each epoch.

use serde::{Deserialize, Serialize};

/// Training loss and validation score of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Epoch number, counted from 0.
    pub epoch: usize,
    /// Mean training loss over the samples of the epoch, in nats.
    pub loss: f64,
    /// [Score](super::Objective::score) on the validation samples after the epoch; `None` without validation samples.
    pub validation_score: Option<f64>,
}

/// Validation score after an optimiser step that is not the last of its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Number of optimiser steps before the evaluation.
    pub step: u64,
    /// [Score](super::Objective::score) on the validation samples.
    pub validation_score: f64,
}

/// Results of a training run: losses, validation scores, counts and times.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Loss curve: for each optimiser step, the completed fraction of the run and the mean loss.
    pub losses: Vec<(f64, f64)>,
    /// Results of each completed epoch.
    pub epochs: Vec<EpochRecord>,
    /// Validation scores within epochs. Empty unless [`evaluate_every`](crate::TrainSettings::evaluate_every) is set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evaluations: Vec<StepRecord>,
    /// Epoch of the best parameters, which the model has at the end of the run. `None` without
    /// [`keep_best`](crate::TrainSettings::keep_best).
    pub best_epoch: Option<usize>,
    /// Number of optimiser steps before the evaluation of the best parameters. `None` without
    /// [`keep_best`](crate::TrainSettings::keep_best).
    #[serde(default)]
    pub best_step: Option<u64>,
    /// Validation score of the best parameters.
    #[serde(default)]
    pub best_score: Option<f64>,
    /// Number of optimiser steps.
    pub steps: u64,
    /// Number of optimiser steps that were skipped because a gradient was not finite.
    pub skipped_steps: u64,
    /// Number of training samples processed.
    pub samples: u64,
    /// Wall-clock time in seconds of the [preparation](super::Objective::prepare) and of all steps, that is, of
    /// building batches, of forward and backward passes, and of the optimiser.
    pub train_seconds: f64,
    /// Part of `train_seconds` that was spent in the optimiser, in seconds.
    pub optimizer_seconds: f64,
}
