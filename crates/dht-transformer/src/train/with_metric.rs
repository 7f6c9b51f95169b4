//! Objective with a different validation metric.

use serde_json::{Value, json};

use super::metrics::Confusion;
use super::objective::{Objective, Predict, Progress, StepLoss};
use crate::backend::ForwardContext;
use crate::data::{EncodedDataset, Metric, PackedBatch};
use crate::error::{Error, Result, SettingMismatch};
use crate::tensors::Parameters;

/// Objective whose [`score`](Objective::score) is another metric of its predictions, such as the GLUE metric of a task.
/// It corresponds to `metric_for_best_model` in `transformers`. Everything else is delegated to the inner objective.
///
/// # Examples
/// `trainer.fit(&mut WithMetric::new(&mut model, Metric::Matthews)?, &training, &validation, &mut ())`
#[derive(Debug)]
pub struct WithMetric<'a, O> {
    objective: &'a mut O,
    metric: Metric,
}

impl<'a, O: Predict> WithMetric<'a, O> {
    /// Wraps an objective with a classification metric.
    ///
    /// # Errors
    /// [`Error::Argument`] for [`Metric::Correlations`], which require a regression.
    pub fn new(objective: &'a mut O, metric: Metric) -> Result<Self> {
        match metric {
            Metric::Correlations => Err(Error::argument("metric", "one of classes", "correlations of numbers")),
            _ => Ok(Self { objective, metric }),
        }
    }

    /// Class whose F1 is the score; `None` for other metrics.
    fn class(&self, data: &EncodedDataset) -> Result<Option<usize>> {
        let Metric::F1 { class } = self.metric else { return Ok(None) };
        let position = data.labels.iter().position(|label| label == class);
        let missing = || Error::argument("metric", format!("F1 of one of {}", data.labels.join(", ")), class);
        Ok(Some(position.ok_or_else(missing)?))
    }
}

impl<O: Predict> Objective for WithMetric<'_, O> {
    type Error = O::Error;

    fn parameters(&self) -> &Parameters {
        self.objective.parameters()
    }

    fn check_data(&self, data: &EncodedDataset) -> Result<(), O::Error> {
        self.class(data)?;
        self.objective.check_data(data)
    }

    fn prepare(&mut self, training: &EncodedDataset, progress: Progress) -> Result<(), O::Error> {
        self.objective.prepare(training, progress)
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>, O::Error> {
        self.objective.offer(batch, progress)
    }

    fn next_loss(&mut self, progress: Progress, drain: bool) -> Result<Option<StepLoss>, O::Error> {
        self.objective.next_loss(progress, drain)
    }

    fn may_split(error: &O::Error) -> bool {
        O::may_split(error)
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64, O::Error> {
        let predicted = self.objective.predictions(data, batch_size)?;
        let confusion = Confusion::from_predictions(data, &predicted)?;
        Ok(match (self.metric, self.class(data)?) {
            (_, Some(class)) => confusion.f1(class).unwrap_or_default(),
            (Metric::Matthews, None) => confusion.matthews(),
            (_, None) => confusion.accuracy(),
        })
    }

    fn metric(&self) -> &'static str {
        match self.metric {
            Metric::Matthews => "Matthews correlation",
            Metric::F1 { .. } => "F1",
            _ => "accuracy",
        }
    }

    fn may_be_best(&self) -> bool {
        self.objective.may_be_best()
    }

    fn state(&self) -> Result<Value, O::Error> {
        Ok(json!({ "metric": self.metric(), "objective": self.objective.state()? }))
    }

    fn differences(&self, state: &Value) -> Result<Vec<SettingMismatch>, O::Error> {
        let metric = |metric: &Value| json!({ "metric": metric });
        let mut differences = SettingMismatch::between(&metric(&state["metric"]), &metric(&json!(self.metric())));
        differences.extend(self.objective.differences(&state["objective"])?);
        Ok(differences)
    }

    fn restore(&mut self, mut state: Value, training: &EncodedDataset) -> Result<(), O::Error> {
        self.objective.restore(state["objective"].take(), training)
    }

    fn restore_best(&mut self, mut state: Value) -> Result<(), O::Error> {
        self.objective.restore_best(state["objective"].take())
    }
}

impl<O: Predict> Predict for WithMetric<'_, O> {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Vec<u32>, O::Error> {
        self.objective.predict(batch, ctx)
    }
}
