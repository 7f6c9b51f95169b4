//! Wrapper that replaces the validation metric of an objective.

use serde_json::{Value, json};

use super::metrics::Confusion;
use super::objective::{Objective, Predict, Progress, StepLoss};
use crate::backend::ForwardContext;
use crate::data::{EncodedDataset, Metric, PackedBatch};
use crate::error::{Error, Result, SettingMismatch};
use crate::tensors::Parameters;

/// Wrapper that replaces the validation [`score`](Objective::score) of an objective, for example by the GLUE metric of
/// a task or by a function of the predictions. It corresponds to `metric_for_best_model` in `transformers`. Everything
/// else is delegated to the inner objective.
///
/// # Examples
/// `trainer.fit(&mut WithMetric::new(&mut model, Metric::Matthews)?, &training, &validation, &mut ())`
///
/// Custom score, computed from the predicted classes, for a task in which a false alarm costs a tenth of a miss:
///
/// ```
/// use dht_transformer::{EncodedDataset, TextClassifier, train::WithMetric};
///
/// fn by_price(model: &mut TextClassifier) -> WithMetric<'_, TextClassifier> {
///     WithMetric::by("price", model, |texts: &EncodedDataset, predicted: &[u32]| {
///         let price = |(truth, class): (u32, u32)| match (truth, class) {
///             (1, 0) => -1.0,
///             (0, 1) => -0.1,
///             _ => 0.0,
///         };
///         let labels = texts.samples.iter().map(|sample| sample.label);
///         labels.zip(predicted.iter().copied()).map(price).sum()
///     })
/// }
/// ```
pub struct WithMetric<'a, O> {
    objective: &'a mut O,
    score: Score<'a>,
}

/// Validation score of predicted classes: a standard metric or a custom function.
enum Score<'a> {
    Metric(Metric),
    Own(&'static str, Box<OwnScore<'a>>),
}

type OwnScore<'a> = dyn Fn(&EncodedDataset, &[u32]) -> f64 + 'a;

impl<O> std::fmt::Debug for WithMetric<'_, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WithMetric").field("metric", &self.name()).finish_non_exhaustive()
    }
}

impl<'a, O: Predict> WithMetric<'a, O> {
    /// Wraps an objective with a classification metric.
    ///
    /// # Errors
    /// [`Error::Argument`] for [`Metric::Correlations`], which require a regression.
    pub fn new(objective: &'a mut O, metric: Metric) -> Result<Self> {
        match metric {
            Metric::Correlations => Err(Error::argument("metric", "one of classes", "correlations of numbers")),
            _ => Ok(Self { objective, score: Score::Metric(metric) }),
        }
    }

    /// Wraps an objective with a function that scores the predicted class of each validation text; higher is better.
    /// Messages call the score `name`.
    pub fn by(name: &'static str, objective: &'a mut O, score: impl Fn(&EncodedDataset, &[u32]) -> f64 + 'a) -> Self {
        Self { objective, score: Score::Own(name, Box::new(score)) }
    }
}

impl<O> WithMetric<'_, O> {
    /// Class whose F1 is the validation score. Returns `None` if the score is not the F1 of a single class.
    fn class(&self, data: &EncodedDataset) -> Result<Option<usize>> {
        let Score::Metric(Metric::F1 { class }) = self.score else { return Ok(None) };
        let position = data.labels.iter().position(|label| label == class);
        let missing = || Error::argument("metric", format!("F1 of one of {}", data.labels.join(", ")), class);
        Ok(Some(position.ok_or_else(missing)?))
    }

    fn name(&self) -> &'static str {
        match self.score {
            Score::Metric(Metric::Matthews) => "Matthews correlation",
            Score::Metric(Metric::F1 { .. }) => "F1",
            Score::Metric(_) => "accuracy",
            Score::Own(name, _) => name,
        }
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
        if let Score::Own(_, score) = &self.score {
            return Ok(score(data, &predicted));
        }
        let confusion = Confusion::from_predictions(data, &predicted)?;
        Ok(match (&self.score, self.class(data)?) {
            (_, Some(class)) => confusion.f1(class).unwrap_or_default(),
            (Score::Metric(Metric::Matthews), None) => confusion.matthews(),
            (_, None) => confusion.accuracy(),
        })
    }

    fn metric(&self) -> &'static str {
        self.name()
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
