//! Step 6, the speed: the cheapest threshold that loses next to nothing by the probabilities of all layers.

use super::report::Report;
use super::stack::StackedModel;
use super::texts::FitTexts;
use crate::error::{Error, Result};
use crate::evaluation::{Calibration, Guarantee, Promise, Risk, Stages};
use crate::log_probabilities::LogProbabilities;
use crate::model::DynamicModel;

/// The risk of the default speed: by the probabilities of all layers, stacked, three tenths of a point of accuracy are
/// lost, with one standard error above the mean of the judged texts.
pub(crate) const DEFAULT_SPEED: Promise =
    Promise { risk: Risk::Regret, most: 0.003, guarantee: Guarantee::StandardErrors(1.0) };

/// A dynamic model at its default speed, with its answers to the judged texts.
pub(crate) struct Built {
    pub(crate) model: DynamicModel,
    pub(crate) report: Report,
    /// Answers of each stage, stacked.
    pub(crate) stages: Vec<LogProbabilities>,
    /// Answers of the last exit, not stacked.
    pub(crate) alone: LogProbabilities,
}

impl Built {
    /// The answers of all layers, stacked.
    pub(crate) fn all_layers(&self) -> &LogProbabilities {
        self.stages.last().unwrap_or(&self.alone)
    }
}

impl StackedModel {
    /// Measures the curve of accuracy against cost on the judged texts, and selects the speed.
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
            Ok(found) => found.threshold,
            // Too few texts.
            Err(Error::Promise { .. }) => 0.0,
            Err(error) => return Err(error),
        };
        Ok(Built { model: model.with_speed(report.speed)?, report, stages, alone })
    }
}
