//! Model of one rung (training step), with the results that later steps and reports use.

use dht_transformer::EncodedDataset;

use super::report::Rung;
use crate::fit::{AccelerateSettings, ExitStates, FitTexts, Report};
use crate::log_probabilities::LogProbabilities;
use crate::model::DynamicModel;

/// Model that one rung (training step) built, with the report on its exits and its validation loss.
pub(super) struct RungModel {
    pub(super) rung: Rung,
    pub(super) model: DynamicModel,
    pub(super) exits: Report,
    pub(super) loss: f64,
    pub(super) out_of_fold: Option<OutOfFold>,
}

/// Inputs for fitting exits on the frozen encoder (rung 1): settings, texts and pooled hidden states.
pub(super) struct FrozenFit {
    pub(super) settings: AccelerateSettings,
    pub(super) texts: FitTexts,
    pub(super) states: ExitStates,
}

/// Out-of-fold predictions of the n-gram classifier and of each exit: each text is predicted by a fit that has not seen
/// it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OutOfFold {
    /// Training texts, followed by the validation texts.
    pub texts: EncodedDataset,
    /// Predicted log-probabilities, one table for the n-gram classifier and one for each exit combined with it. The
    /// format is the same as in [`stage_log_probabilities`](DynamicModel::stage_log_probabilities).
    pub stages: Vec<LogProbabilities>,
    /// Log-probabilities of the last exit alone, without the n-gram classifier.
    pub alone: LogProbabilities,
}
