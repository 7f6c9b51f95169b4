//! Accelerated classifier: a model with early exits, and the report on its fit.

use dht_transformer::EncodedDataset;

use crate::error::{Error, Result};
use crate::evaluation::evaluation::Evaluation;
use crate::evaluation::{SpeedPoint, evaluate};
use crate::fit::{DEFAULT_SPEED, Report};
use crate::log_probabilities::LogProbabilities;
use crate::model::DynamicModel;
use crate::number_levels::NumberLevels;
use crate::outputs::truth_of;
use crate::router::Router;

/// Result of [`accelerate`](fn@super::accelerate): a model with early exits, and the report on its fit.
#[derive(Debug)]
#[non_exhaustive]
pub struct Accelerated {
    /// Model with early exits, set to its [default speed](Report::speed) (exit threshold).
    pub model: DynamicModel,
    /// Report on the fits, and on accuracy and cost at each speed.
    pub report: Report,
    /// Levels of the number that the model's labels stand for; `None` for classes and labels.
    pub(super) levels: Option<NumberLevels>,
    /// Weight of each class, by which the default speed is selected; `None` for equal weights.
    pub(super) class_weights: Option<Vec<f32>>,
}

impl Accelerated {
    /// Replaces the router, which decides where texts exit, and measures accuracy and cost of the new router on
    /// held-out texts.
    ///
    /// `speeds` are the speeds to measure, lowest first. Each speed takes one pass over the texts, and one more pass
    /// runs all layers. The model is set to the highest speed such that this speed and all lower ones keep the accuracy
    /// limit of the [default speed](Report::speed). If no speed keeps the limit, the model is set to the first speed. A
    /// router without adjustable speed has no curve: set it by [`DynamicModel::with_router`].
    ///
    /// # Errors
    /// * [`Error::Argument`] if `speeds` or `held_out` is empty, or if the router rejects a speed.
    /// * Errors of the router and the encoder.
    pub fn with_router(
        self,
        router: Box<dyn Router>,
        held_out: &EncodedDataset,
        speeds: &[f64],
        batch_size: usize,
    ) -> Result<Self> {
        let Self { model, mut report, levels, class_weights } = self;
        for (field, count) in [("speeds", speeds.len()), ("held-out texts", held_out.len())] {
            if count == 0 {
                return Err(Error::argument(field, "at least one", "none"));
            }
        }
        let exits = model.model().exit_log_probabilities(held_out, batch_size)?;
        let labels = truth_of(held_out);
        report.own_accuracy = exits.last().map_or(0.0, |own| own.score(&labels));
        let all_layers = model.stacked(held_out, exits)?.pop();
        let model = model.with_router(router);
        let full_flops = model.full_flops_of_each(held_out);
        let variance = levels.as_ref().map(|levels| levels.variance(&labels));
        report.number_variance = variance;
        let regrets = |last: &LogProbabilities, evaluation: &Evaluation| match levels.as_ref().zip(variance) {
            Some((levels, variance)) => {
                let numbers: Vec<f32> = evaluation.probabilities.iter().map(|row| levels.number(row)).collect();
                last.number_regrets(&numbers, levels, variance)
            }
            None => last.weighted_regrets(&evaluation.labels, class_weights.as_deref()),
        };
        (report.speed, report.curve) = (speeds[0], Vec::new());
        let mut keeps = true;
        for &speed in speeds {
            let evaluation = evaluate(&model.with_speed(speed)?, held_out, batch_size)?;
            let accuracy = model.model().outputs().score(&evaluation.labels, &labels);
            report.curve.push(SpeedPoint::of_texts(speed, accuracy, &evaluation.row_flops, &full_flops));
            keeps =
                keeps && all_layers.as_ref().is_none_or(|last| DEFAULT_SPEED.holds_for(&regrets(last, &evaluation)));
            if keeps {
                report.speed = speed;
            }
        }
        Ok(Self { model: model.with_speed(report.speed)?, report, levels, class_weights })
    }
}
