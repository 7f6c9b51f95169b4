//! Report on training in rungs (steps of increasing cost): scores, costs and progress events.

use std::time::Duration;

use dht_transformer::train::Event;
use serde::Serialize;

use super::length_choice::LengthChoice;
use crate::fit::FitStep;

/// Rung: one of the three steps of [training in rungs](super). Each rung builds a complete model, and costs more than
/// the rung before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Rung 0: an n-gram classifier alone, without an encoder.
    Ngrams,
    /// Rung 1: logistic regressions on the hidden states of the frozen encoder.
    Frozen,
    /// Rung 2: the fine-tuned encoder, with early exits fitted on it.
    FineTuned,
}

impl Rung {
    /// All rungs, cheapest first.
    pub const ALL: [Self; 3] = [Self::Ngrams, Self::Frozen, Self::FineTuned];
}

/// Score and cost at one point of a training run: after a rung, or during fine-tuning.
///
/// Scores are measured on the validation rows. One exception: if there are fewer than 20 validation rows, and exits
/// [may be fitted on them](super::LadderTexts::joins), rungs 0 and 1 are scored on all rows. Each row is then answered
/// by models that were fitted without it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Measurement {
    /// Rung (training step) whose model was measured.
    pub rung: Rung,
    /// Number of fine-tuning passes over the training rows so far; 0 before rung 2 (fine-tuning).
    pub passes: f64,
    /// Planned number of fine-tuning passes; 0 before rung 2 (fine-tuning).
    pub planned_passes: f64,
    /// Accuracy on the validation rows, measured at the last exit, combined (stacked) with the n-gram classifier.
    /// `None` during fine-tuning, when only the loss is measured.
    pub accuracy: Option<f64>,
    /// Mean loss on the validation rows in nats, measured at the last exit, combined (stacked) with the n-gram
    /// classifier. With [class weights](crate::accelerate::AccelerateSettings::class_weights), the weighted mean.
    pub loss: f64,
    /// FLOPs of the run so far, earlier rungs (training steps) included: forward and backward passes, convex fits and
    /// validation.
    pub flops: u64,
    /// Cost of the run so far: its FLOPs, divided by the FLOPs of one fine-tuning pass over the training rows.
    pub cost: f64,
    /// Wall-clock seconds since the run was started or resumed.
    pub seconds: f64,
}

/// Progress event of training in rungs, which are steps of increasing cost.
#[derive(Debug)]
#[non_exhaustive]
pub enum LadderEvent<'a> {
    /// New measurement of score and cost, after a rung (training step) or during fine-tuning.
    Measured(&'a Measurement),
    /// End of a short training run that tried a learning rate.
    Rate {
        /// Peak learning rate of the trial.
        rate: f64,
        /// Mean validation loss after the trial, in nats; infinite if the trial diverged.
        loss: f64,
    },
    /// Start of fine-tuning. Until [`FineTuningEnded`](Self::FineTuningEnded), the run can be stopped by [a
    /// flag](super::LadderSettings::stop).
    FineTuningStarted {
        /// Planned number of fine-tuning passes over the training rows.
        passes: f64,
        /// Estimated time until the model with its exits is complete. The first value applies if the stopping rule ends
        /// fine-tuning as early as it can, the second if all planned passes run.
        time: (Duration, Duration),
    },
    /// Progress in fitting the early exits.
    Fitting(FitStep),
    /// Event of the trainer during fine-tuning.
    Training(Event<'a>),
    /// End of fine-tuning.
    FineTuningEnded,
}

/// Reason why training in rungs (steps of increasing cost) ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stop {
    /// The stopping rule, a [`NextStep`](super::NextStep), decided not to continue.
    Rule,
    /// Fewer than 20 validation rows, which are too few to measure whether fine-tuning helps.
    FewRows,
    /// Completion of the highest rung (training step) that the settings allow. If this is fine-tuning, it ran all its
    /// planned passes.
    Top,
    /// Budget of FLOPs, which the next step would exceed.
    Budget,
    /// Time limit, which the next step would exceed.
    Time,
    /// Setting [`finish`](super::LadderSettings::finish), which completes a stopped run without further training.
    Finished,
}

/// Report on training in rungs, steps of increasing cost: all measurements, the rung of the resulting model, and the
/// total cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LadderReport {
    /// All scores and costs that were measured, oldest first.
    pub measurements: Vec<Measurement>,
    /// Rung (training step) that built the resulting model.
    pub rung: Rung,
    /// Reason why the training run ended.
    pub stop: Stop,
    /// Total FLOPs of the run.
    pub flops: u64,
    /// FLOPs of the convex fits (n-gram classifier, exits and stacking weights), included in `flops`.
    /// [`Report::flops_of_fits`](crate::accelerate::Report::flops_of_fits) describes how they are counted.
    pub flops_of_fits: u64,
    /// FLOPs of one fine-tuning pass over the training rows, forward and backward.
    pub pass_flops: u64,
    /// Total number of fine-tuning passes that ran, even if the result is the model of a lower rung.
    pub passes: f64,
    /// Peak learning rate of fine-tuning in rung 2.
    pub learning_rate: f64,
    /// Wall-clock seconds since the run was started or resumed, excluding the trials of text lengths.
    pub seconds: f64,
    /// Maximum text length and the trials that [selected](super::choose_length) it; `None` without trials. The FLOPs of
    /// the trials are included in `flops`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<LengthChoice>,
}

impl LadderReport {
    /// Last measured accuracy of `rung`; `None` if the rung was not measured.
    pub fn accuracy(&self, rung: Rung) -> Option<f64> {
        self.measurements.iter().rev().filter(|past| past.rung == rung).find_map(|past| past.accuracy)
    }
}
