//! Predictions for one text and for a batch.

use std::time::Duration;

use dht_transformer::{HeadSet, PackedBatch, Sample, Task};

use crate::error::Result;
use crate::route::Route;

/// Prediction for a text: its most probable class or label, all probabilities, the route and the cost.
///
/// # Examples
/// ```
/// use dht_dynamic::{Prediction, Route, route::ModelShape};
///
/// let route = Route::truncated(ModelShape { layers: 12, heads: 12 }, 3)?;
/// let prediction = Prediction::new(vec![0.2, 0.8], route, 1_000);
/// assert_eq!(prediction.label, 1);
/// assert_eq!(prediction.route.depth(), 3);
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// Index of the most probable class or label.
    pub label: u32,
    /// Predicted probability of each class or label.
    pub probabilities: Vec<f32>,
    /// Route of the text: the layers that it ran, and the number of attention heads in each.
    pub route: Route,
    /// Selected attention heads of each group of layers on the route; empty for models that do not select heads.
    pub head_sets: Vec<HeadSet>,
    /// FLOPs of all matrix products; a multiply-add counts as two. They include the layers of the route, every exit
    /// that was evaluated (with the n-gram classifier and its stacking), and a separate pass for the router's inputs,
    /// if there was one.
    pub flops: u64,
    /// FLOPs of the routing decisions, computed by formula; not included in `flops`.
    pub routing_flops: u64,
    /// Log-probabilities at each exit that the text passed, from the n-gram classifier to the exit at which it stopped.
    /// Empty unless [requested](crate::DynamicModel::predict_with_stages).
    pub stages: Vec<Vec<f64>>,
}

/// Predictions for the texts of a batch, with the time that routing decisions took.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BatchPredictions {
    /// Prediction for each text, in the order of the batch.
    pub predictions: Vec<Prediction>,
    /// Time spent on routing decisions: running the routers, and copying the hidden states that they read.
    pub deciding: Duration,
}

impl Prediction {
    /// Creates a prediction from probabilities, route and FLOPs. Router FLOPs are 0, and log-probabilities of passed
    /// exits are empty.
    pub fn new(probabilities: Vec<f32>, route: Route, flops: u64) -> Self {
        let label = Task::most_probable(&probabilities);
        Self { label, probabilities, route, head_sets: Vec::new(), flops, routing_flops: 0, stages: Vec::new() }
    }
}

impl BatchPredictions {
    /// Combines the prediction for each text with the time spent on routing decisions.
    pub fn new(predictions: Vec<Prediction>, deciding: Duration) -> Self {
        Self { predictions, deciding }
    }

    /// Creates the predictions of a model whose texts all run the same route.
    pub fn of_fixed_route(probabilities: Vec<Vec<f32>>, route: &Route, flops: impl IntoIterator<Item = u64>) -> Self {
        Self::of_routes(probabilities, std::iter::repeat(route.clone()), flops)
    }

    /// Creates predictions from the probabilities, routes and FLOPs of each text, without router FLOPs.
    pub fn of_routes(
        probabilities: Vec<Vec<f32>>,
        routes: impl IntoIterator<Item = Route>,
        flops: impl IntoIterator<Item = u64>,
    ) -> Self {
        let texts = probabilities.into_iter().zip(routes).zip(flops);
        let predictions = texts.map(|((probabilities, route), flops)| Prediction::new(probabilities, route, flops));
        Self { predictions: predictions.collect(), deciding: Duration::ZERO }
    }

    /// Predicts texts in batches of similar lengths, the longest first. Returns the predictions in the order of
    /// `samples`.
    ///
    /// # Errors
    /// * [`Error::Transformer`](crate::Error::Transformer) if the batch size is 0.
    /// * Any error that `predict` returns.
    pub fn in_batches(
        samples: &[Sample],
        batch_size: usize,
        mut predict: impl FnMut(&PackedBatch) -> Result<Self>,
    ) -> Result<Self> {
        let mut collector = PredictionRows::new(samples.len());
        for rows in PackedBatch::longest_first(&lengths_of(samples), batch_size)? {
            collector.add(&rows, predict(&pack(samples, &rows)?)?);
        }
        Ok(collector.in_order())
    }
}

/// Collects predictions in any order, and returns them in the order of the texts.
pub(crate) struct PredictionRows {
    pub(crate) predictions: Vec<Option<Prediction>>,
    pub(crate) deciding: Duration,
}

impl PredictionRows {
    pub(crate) fn new(samples: usize) -> Self {
        Self { predictions: vec![None; samples], deciding: Duration::ZERO }
    }

    /// Adds a batch of predictions. `rows` are the indices of its texts.
    pub(crate) fn add(&mut self, rows: &[usize], batch: BatchPredictions) {
        self.deciding += batch.deciding;
        for (row, prediction) in rows.iter().zip(batch.predictions) {
            self.predictions[*row] = Some(prediction);
        }
    }

    pub(crate) fn in_order(self) -> BatchPredictions {
        BatchPredictions { predictions: self.predictions.into_iter().flatten().collect(), deciding: self.deciding }
    }
}

pub(crate) fn lengths_of(samples: &[Sample]) -> Vec<usize> {
    samples.iter().map(|sample| sample.encoding.ids.len()).collect()
}

/// Packs some of the texts into a batch. `rows` are their indices in `samples`.
pub(crate) fn pack(samples: &[Sample], rows: &[usize]) -> Result<PackedBatch> {
    Ok(PackedBatch::from_samples(rows.iter().map(|row| &samples[*row]))?)
}
