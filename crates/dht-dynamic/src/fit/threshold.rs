//! Selects the default speed: the cheapest exit threshold at which predictions are nearly as good as those after all
//! layers.

use super::report::Report;
use super::stack::StackedModel;
use super::texts::FitTexts;
use crate::error::{Error, Result};
use crate::evaluation::{Calibration, Guarantee, Promise, Risk, Stages};
use crate::log_probabilities::LogProbabilities;
use crate::model::DynamicModel;
use crate::number_levels::NumberLevels;

/// Criterion of the default speed (exit threshold): the expected loss is at most 0.3 percentage points of accuracy. The
/// loss is estimated from the probabilities of the last exit, combined with those of the n-gram classifier. The
/// estimate is the mean over the held-out or cross-fitted texts plus one standard error. For numbers, the same limit
/// applies to the loss of R², in points of .01, and with class weights to the weighted accuracy.
pub(crate) const DEFAULT_SPEED: Promise =
    Promise { risk: Risk::Regret, most: 0.003, guarantee: Guarantee::StandardErrors(1.0) };

/// Model at its default speed (exit threshold), with its report. Also has its predictions for the held-out or
/// cross-fitted texts.
pub(crate) struct Built {
    pub(crate) model: DynamicModel,
    pub(crate) report: Report,
    /// Log-probabilities of the n-gram classifier, if there is one, followed by those of each exit, combined (stacked)
    /// with it.
    pub(crate) stages: Vec<LogProbabilities>,
    /// Log-probabilities of the last exit alone, not combined with the n-gram classifier.
    pub(crate) alone: LogProbabilities,
}

impl Built {
    /// Log-probabilities after all layers: those of the last exit, combined (stacked) with the n-gram classifier.
    pub(crate) fn all_layers(&self) -> &LogProbabilities {
        self.stages.last().unwrap_or(&self.alone)
    }
}

impl StackedModel {
    /// Measures accuracy and cost at each exit threshold, and sets the model to its default speed, one of these
    /// thresholds. If the labels are the cuts between `levels` of a number, the default speed is selected by the
    /// squared error of the number.
    pub(crate) fn at_default_speed(
        self,
        texts: &FitTexts,
        levels: Option<&NumberLevels>,
        mut report: Report,
    ) -> Result<Built> {
        let Self { model, stages, alone } = self;
        let (judged, labels) = (texts.judged(), texts.judged_labels());
        report.own_accuracy = alone.score(&labels);
        let mut table = Stages::of_answers(&model, judged, &stages)?.with_class_weights(&stages, texts.class_weights());
        if let Some(levels) = levels {
            let variance = levels.variance(&labels);
            table = table.with_number_regrets(&stages, levels, variance);
            report.number_variance = Some(variance);
        }
        report.of_thresholds(&table, &labels, &model.full_flops_of_each(judged));
        let thresholds: Vec<f64> = report.curve.iter().map(|point| point.speed).collect();
        let full = table.at(0.0).labels;
        let calibration = Calibration { stages: &table, full: &full, labels: Some(&labels) };
        report.speed = match DEFAULT_SPEED.control(calibration, &thresholds) {
            Ok(speed) => speed.threshold,
            // There are too few texts to keep the promise, or their numbers are all equal.
            Err(Error::Promise { .. }) => 0.0,
            Err(error) => return Err(error),
        };
        Ok(Built { model: model.with_speed(report.speed)?, report, stages, alone })
    }
}
