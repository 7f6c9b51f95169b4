//! The results of a training, step by step and epoch by epoch.

use serde::{Deserialize, Serialize};

/// The results of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch, from 0.
    pub epoch: usize,
    /// The mean training loss of its samples, in nats.
    pub loss: f64,
    /// The [score](super::Objective::score) on the validation samples after it; `None` without any.
    pub validation_score: Option<f64>,
}

/// The score after a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Optimiser steps so far.
    pub step: u64,
    /// The [score](super::Objective::score) on the validation samples.
    pub validation_score: f64,
}

/// The results of a training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The share of the training that is done and the mean loss, for each step.
    pub losses: Vec<(f64, f64)>,
    /// Each epoch.
    pub epochs: Vec<EpochRecord>,
    /// Evaluations between the ends of epochs, where [`evaluate_every`](crate::TrainSettings::evaluate_every) asks for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evaluations: Vec<StepRecord>,
    /// The epoch whose parameters were kept, or the one within which they were.
    pub best_epoch: Option<usize>,
    /// Optimiser steps after which the kept parameters were evaluated.
    #[serde(default)]
    pub best_step: Option<u64>,
    /// The kept parameters' score on the validation samples.
    #[serde(default)]
    pub best_score: Option<f64>,
    /// Optimiser steps.
    pub steps: u64,
    /// Steps that were skipped because a gradient was not finite.
    pub skipped_steps: u64,
    /// Samples trained on.
    pub samples: u64,
    /// Wall clock of the [preparation](super::Objective::prepare) and of all steps: batches, forward, backward, optimiser.
    pub train_seconds: f64,
    /// Of those, the optimiser.
    pub optimizer_seconds: f64,
}
