//! Report on a training run in rungs: scores and costs of the rungs, and the events of the run.

use std::time::Duration;

use dht_transformer::train::Event;
use serde::Serialize;

use super::length_choice::LengthChoice;
use crate::fit::FitStep;

/// Rung of a [ladder](super): one of three models, in ascending order of cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Rung 0: the n-gram exit alone.
    Ngrams,
    /// Rung 1: logistic regressions on the states of the frozen encoder.
    Frozen,
    /// Rung 2: the fine-tuned encoder, with exits.
    FineTuned,
}

impl Rung {
    /// All rungs, cheapest first.
    pub const ALL: [Self; 3] = [Self::Ngrams, Self::Frozen, Self::FineTuned];
}

/// Score and cost at one point of a training run in rungs.
///
/// Scores are measured on the validation rows. If there are fewer than 20 validation rows, and they
/// [join](super::LadderTexts::joins) the training rows, rungs 0 and 1 are scored on all rows instead. Each row is then
/// answered by models that were fitted without this row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Measurement {
    /// Rung that was measured.
    pub rung: Rung,
    /// Number of fine-tuning passes over the training rows so far; 0 below rung 2.
    pub passes: f64,
    /// Planned number of fine-tuning passes; 0 below rung 2.
    pub planned_passes: f64,
    /// Accuracy of the last exit, stacked with the n-gram exit, on the validation rows. `None` during fine-tuning, when
    /// only the loss is measured.
    pub accuracy: Option<f64>,
    /// Mean loss of the stacked answers on the validation rows, in nats.
    pub loss: f64,
    /// FLOPs of the run so far, lower rungs included: forward and backward passes, convex fits and validation.
    pub flops: u64,
    /// Cost of the run so far: its FLOPs, divided by the FLOPs of one fine-tuning pass over the training rows.
    pub cost: f64,
    /// Wall-clock seconds since the run was started or resumed.
    pub seconds: f64,
}

/// Progress event of a training run in rungs.
#[derive(Debug)]
#[non_exhaustive]
pub enum LadderEvent<'a> {
    /// A rung was measured, or a point during fine-tuning.
    Measured(&'a Measurement),
    /// A learning rate was tried.
    Rate {
        /// Peak learning rate of the trial.
        rate: f64,
        /// Mean validation loss of the stacked answers, in nats; infinite if the trial diverged.
        loss: f64,
    },
    /// Fine-tuning begins. The run obeys a request to stop until [`FineTuningEnded`](Self::FineTuningEnded).
    FineTuningStarted {
        /// Planned number of passes over the training rows.
        passes: f64,
        /// Estimated time until the model is complete, exits included. The first estimate applies if the stopping rule
        /// ends fine-tuning as early as possible, the second for all planned passes.
        time: (Duration, Duration),
    },
    /// Exits are being fitted.
    Fitting(FitStep),
    /// The trainer reports an event of fine-tuning.
    Training(Event<'a>),
    /// Fine-tuning has ended.
    FineTuningEnded,
}

/// Reason why a training run in rungs ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stop {
    /// The [`NextStep`](super::NextStep) decided not to continue.
    Rule,
    /// There are fewer than 20 validation rows, too few to measure whether fine-tuning helps.
    FewRows,
    /// The highest rung was reached, and fine-tuning ran all its passes.
    Top,
    /// The next step would exceed the budget of FLOPs.
    Budget,
    /// The next step would exceed the time limit.
    Time,
    /// The user [finished](super::LadderSettings::finish) a stopped run.
    Finished,
}

/// Report on a training run in rungs: all measurements, the result and the total cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LadderReport {
    /// Measurements, oldest first.
    pub measurements: Vec<Measurement>,
    /// Rung of the resulting model.
    pub rung: Rung,
    /// Reason why the run ended.
    pub stop: Stop,
    /// FLOPs of the run in total.
    pub flops: u64,
    /// FLOPs of the convex fits of n-gram model, exits and stacking, included in `flops`. These FLOPs are counted as in
    /// [`Report::flops_of_fits`](crate::accelerate::Report::flops_of_fits).
    pub flops_of_fits: u64,
    /// FLOPs of one fine-tuning pass over the training rows, forward and backward.
    pub pass_flops: u64,
    /// Number of fine-tuning passes in total, also if the result is the model of a lower rung.
    pub passes: f64,
    /// Peak learning rate of fine-tuning in rung 2.
    pub learning_rate: f64,
    /// Wall-clock seconds since the run was started or resumed, without the trials of lengths.
    pub seconds: f64,
    /// Maximum length of a text and the trials that [selected](super::choose_length) it; `None` without trials. The
    /// FLOPs of the trials are included in `flops`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<LengthChoice>,
}

impl LadderReport {
    /// Last measured accuracy of a rung; `None` if the rung was not measured.
    pub fn accuracy(&self, rung: Rung) -> Option<f64> {
        self.measurements.iter().rev().filter(|past| past.rung == rung).find_map(|past| past.accuracy)
    }
}
