//! The model of a rung, with what later rungs and reports read.

use dht_transformer::EncodedDataset;

use super::report::Rung;
use crate::fit::{AccelerateSettings, ExitStates, FitTexts, Report};
use crate::log_probabilities::LogProbabilities;
use crate::model::DynamicModel;

/// The model of a rung, and its loss.
pub(super) struct RungModel {
    pub(super) rung: Rung,
    pub(super) model: DynamicModel,
    pub(super) exits: Report,
    pub(super) loss: f64,
    /// Loss of each text that judges the model.
    pub(super) losses: Vec<f64>,
    pub(super) out_of_fold: Option<OutOfFold>,
}

/// Rung 1's states of the frozen encoder, with the texts and settings of its fits.
pub(super) struct FrozenFit {
    pub(super) settings: AccelerateSettings,
    pub(super) texts: FitTexts,
    pub(super) states: ExitStates,
}

/// Answers of a model's stages to texts that its exits were fitted on, each by other exits, fitted without that text.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OutOfFold {
    /// Training and validation texts.
    pub texts: EncodedDataset,
    /// Answers of each stage, as in [`stage_log_probabilities`](DynamicModel::stage_log_probabilities).
    pub stages: Vec<LogProbabilities>,
    /// Answers of the last exit, not stacked.
    pub alone: LogProbabilities,
}
