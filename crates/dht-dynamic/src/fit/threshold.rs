//! Step 6 of a fit, the speed: selects the cheapest threshold whose answers are nearly as good as those of all layers.

use super::report::Report;
use super::stack::StackedModel;
use super::texts::FitTexts;
use crate::error::{Error, Result};
use crate::evaluation::{Calibration, Guarantee, Promise, Risk, Stages};
use crate::log_probabilities::LogProbabilities;
use crate::model::DynamicModel;

/// Risk that the default speed keeps: an expected loss of at most 0.3 points of accuracy. The loss is estimated by the
/// stacked probabilities of the last exit, as the mean over the judged texts plus one standard error.
pub(crate) const DEFAULT_SPEED: Promise =
    Promise { risk: Risk::Regret, most: 0.003, guarantee: Guarantee::StandardErrors(1.0) };

/// Dynamic model at its default speed, with its report and the answers of each stage to the judged texts.
pub(crate) struct Built {
    pub(crate) model: DynamicModel,
    pub(crate) report: Report,
    /// Stacked answers of each stage.
    pub(crate) stages: Vec<LogProbabilities>,
    /// Answers of the last exit alone, without stacking.
    pub(crate) alone: LogProbabilities,
}

impl Built {
    /// Stacked answers of the last exit, which has run all layers.
    pub(crate) fn all_layers(&self) -> &LogProbabilities {
        self.stages.last().unwrap_or(&self.alone)
    }
}

impl StackedModel {
    /// Measures the curve of accuracy against cost on the judged texts, and sets the model to its default speed.
    pub(crate) fn at_default_speed(self, texts: &FitTexts, mut report: Report) -> Result<Built> {
        let Self { model, stages, alone } = self;
        let (judged, labels) = (texts.judged(), texts.judged_labels());
        report.own_accuracy = alone.score(&labels);
        let table = Stages::of_answers(&model, judged, &stages)?;
        report.of_thresholds(&table, &labels, &model.full_flops_of_each(judged));
        let thresholds: Vec<f64> = report.curve.iter().map(|point| point.speed).collect();
        let full = table.at(0.0).labels;
        let calibration = Calibration { stages: &table, full: &full, labels: Some(&labels) };
        report.speed = match DEFAULT_SPEED.control(calibration, &thresholds) {
            Ok(speed) => speed.threshold,
            // There are too few texts to keep the promise.
            Err(Error::Promise { .. }) => 0.0,
            Err(error) => return Err(error),
        };
        Ok(Built { model: model.with_speed(report.speed)?, report, stages, alone })
    }
}
