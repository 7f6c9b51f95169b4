//! Step 6, the speed: the cheapest threshold that loses nothing on the judged texts.

use super::report::Report;
use super::stack::StackedModel;
use super::texts::FitTexts;
use crate::error::Result;
use crate::evaluation::Stages;
use crate::log_probabilities::LogProbabilities;
use crate::model::DynamicModel;

/// The answers whose accuracy the default speed keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference {
    /// The answers of the last exit alone.
    LastExit,
    /// The answers of the last exit, stacked or not, whichever are more accurate.
    BestOfLastExit,
}

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
    pub(crate) fn at_default_speed(self, texts: &FitTexts, reference: Reference, mut report: Report) -> Result<Built> {
        let Self { model, rule, stages, alone } = self;
        let (judged, labels) = (texts.judged(), texts.judged_labels());
        report.own_accuracy = alone.accuracy(&labels);
        let accuracy = match reference {
            Reference::LastExit => report.own_accuracy,
            Reference::BestOfLastExit => {
                let stacked = report.stages.last().map_or(0.0, |last| last.stacked_accuracy);
                report.own_accuracy.max(stacked)
            }
        };
        let table = Stages::new(&stages, model.stage_flops(judged), rule)?;
        report.of_thresholds(&table, &labels, accuracy, model.full_inference_flops(judged));
        Ok(Built { model: model.with_speed(report.speed)?, report, stages, alone })
    }
}
