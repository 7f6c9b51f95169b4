//! Scores and costs of the rungs.

use std::time::Duration;

use dht_transformer::train::Event;
use serde::Serialize;

use super::length_choice::LengthChoice;
use crate::fit::FitStep;

/// A rung of the [ladder](super).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Exit 0 alone.
    Ngrams,
    /// Logistic regressions on the states of the frozen encoder.
    Frozen,
    /// The fine-tuned encoder.
    FineTuned,
}

impl Rung {
    /// All rungs, the cheapest first.
    pub const ALL: [Self; 3] = [Self::Ngrams, Self::Frozen, Self::FineTuned];
}

/// Score and cost at one point of a training. With fewer than 20 validation rows that are a part of the same data,
/// rungs 0 and 1 are scored on all rows, each by models that were fitted without it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Measurement {
    /// The rung.
    pub rung: Rung,
    /// Passes of fine-tuning over the training rows so far; 0 below rung 2.
    pub passes: f64,
    /// Passes that fine-tuning was planned for; 0 below rung 2.
    pub planned_passes: f64,
    /// Accuracy of all layers on the validation rows, stacked with exit 0. `None` during fine-tuning, where only the
    /// loss is measured.
    pub accuracy: Option<f64>,
    /// Mean loss of the stacked answers on the validation rows, in nats.
    pub loss: f64,
    /// FLOPs of the training so far, from the first rung on: forward and backward passes, convex fits and validation.
    pub flops: u64,
    /// These FLOPs in passes of fine-tuning over the training rows, forward and backward.
    pub cost: f64,
    /// Wall-clock seconds so far, without those of an earlier run that was stopped.
    pub seconds: f64,
}

/// Event of a training in rungs.
#[derive(Debug)]
#[non_exhaustive]
pub enum LadderEvent<'a> {
    /// A rung, or a point in rung 2, was measured.
    Measured(&'a Measurement),
    /// A learning rate was tried.
    Rate {
        /// The peak learning rate.
        rate: f64,
        /// Mean validation loss of the stacked answers, in nats; infinite for a training that diverged.
        loss: f64,
    },
    /// Fine-tuning begins. Until [`FineTuningEnded`](Self::FineTuningEnded) a request to stop is obeyed.
    FineTuningStarted {
        /// Its passes over the training rows.
        passes: f64,
        /// Estimate of the time until the model is complete, exits included: if the rule ends fine-tuning as early as it
        /// may, and if all passes are made.
        time: (Duration, Duration),
    },
    /// A step of fitting exits, and how far it is.
    Fitting(FitStep),
    /// An event of fine-tuning.
    Training(Event<'a>),
    /// Fine-tuning is over.
    FineTuningEnded,
}

/// Why a training ended at its rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stop {
    /// The [`NextStep`](super::NextStep) decided so.
    Rule,
    /// There are fewer than 20 validation rows, too few to tell whether fine-tuning helps.
    FewRows,
    /// The highest rung was reached, and fine-tuning ran all its passes.
    Top,
    /// The next step would exceed the budget of FLOPs.
    Budget,
    /// The next step would exceed the time.
    Time,
    /// The user [finished](super::LadderSettings::finish) a stopped training.
    Finished,
}

/// Report of a training in rungs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LadderReport {
    /// All measurements, in their order.
    pub measurements: Vec<Measurement>,
    /// The rung of the model.
    pub rung: Rung,
    /// Why no further step was taken.
    pub stop: Stop,
    /// FLOPs of the training in total.
    pub flops: u64,
    /// FLOPs of the convex fits of n-gram model, exits and stacking, included in `flops`, as in
    /// [`Report`](crate::accelerate::Report).
    pub flops_of_fits: u64,
    /// FLOPs of one pass of fine-tuning over the training rows: forward and backward.
    pub pass_flops: u64,
    /// Passes of fine-tuning in total, including those of a rung that was not kept.
    pub passes: f64,
    /// Peak learning rate of rung 2.
    pub learning_rate: f64,
    /// Wall-clock seconds in total, without those of the trials of lengths.
    pub seconds: f64,
    /// The maximum length of a text in tokens and the trials that selected it, where there were trials. Their FLOPs are
    /// included in `flops`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<LengthChoice>,
}

impl LadderReport {
    /// The last accuracy that was measured on a rung; `None` for a rung that was not climbed.
    pub fn accuracy(&self, rung: Rung) -> Option<f64> {
        self.measurements.iter().rev().filter(|found| found.rung == rung).find_map(|found| found.accuracy)
    }
}
