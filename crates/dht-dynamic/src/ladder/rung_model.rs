//! Model of a rung, with the results that later rungs and reports use.

use dht_transformer::EncodedDataset;

use super::report::Rung;
use crate::fit::{AccelerateSettings, ExitStates, FitTexts, Report};
use crate::log_probabilities::LogProbabilities;
use crate::model::DynamicModel;

/// Model of a rung, with its report and its validation loss.
pub(super) struct RungModel {
    pub(super) rung: Rung,
    pub(super) model: DynamicModel,
    pub(super) exits: Report,
    pub(super) loss: f64,
    pub(super) out_of_fold: Option<OutOfFold>,
}

/// Texts, settings and frozen states on which rung 1 was fitted.
pub(super) struct FrozenFit {
    pub(super) settings: AccelerateSettings,
    pub(super) texts: FitTexts,
    pub(super) states: ExitStates,
}

/// Out-of-fold answers of a model's stages: each text is answered by exits that were fitted without this text.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OutOfFold {
    /// Training texts, followed by the validation texts.
    pub texts: EncodedDataset,
    /// Stacked answers of each stage, as from [`stage_log_probabilities`](DynamicModel::stage_log_probabilities).
    pub stages: Vec<LogProbabilities>,
    /// Answers of the last exit alone, without stacking.
    pub alone: LogProbabilities,
}
