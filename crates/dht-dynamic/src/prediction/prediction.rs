//! Results of a prediction, for one text and for a batch.

use std::time::Duration;

use dht_transformer::{HeadSet, PackedBatch, Sample, Task};

use crate::error::Result;
use crate::route::Route;

/// Predicted class or label of a text, with its probabilities, its route and its cost.
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
    /// Probability of each class or label.
    pub probabilities: Vec<f32>,
    /// Layers that the text ran, and the number of heads in each.
    pub route: Route,
    /// Selected attention heads of each group of layers on the route whose heads are selected; empty for models that do
    /// not select heads.
    pub head_sets: Vec<HeadSet>,
    /// FLOPs of all matrix products, two for each multiply-add. These FLOPs cover the layers of the route, every exit
    /// that read the text (with the n-gram exit and its stacking), and a separate pass that computed a router's inputs,
    /// if there was one.
    pub flops: u64,
    /// FLOPs of the routers, computed by formula; not included in `flops`.
    pub routing_flops: u64,
    /// Log-probabilities at every stage that the text passed, from the n-gram exit to the exit that answered. Empty
    /// unless [requested](crate::DynamicModel::predict_with_stages).
    pub stages: Vec<Vec<f64>>,
}

/// Predictions for the texts of a batch, with the time that the routers' decisions took.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BatchPredictions {
    /// Prediction of each sample, in the order of the batch.
    pub predictions: Vec<Prediction>,
    /// Time spent on decisions: running the routers, and copying the rows of hidden states that they read.
    pub deciding: Duration,
}

impl Prediction {
    /// Builds the prediction of a text from its probabilities, its route and its FLOPs, without router FLOPs or stages.
    pub fn new(probabilities: Vec<f32>, route: Route, flops: u64) -> Self {
        let label = Task::most_probable(&probabilities);
        Self { label, probabilities, route, head_sets: Vec::new(), flops, routing_flops: 0, stages: Vec::new() }
    }
}

impl BatchPredictions {
    /// Combines the prediction of each sample with the time spent on decisions.
    pub fn new(predictions: Vec<Prediction>, deciding: Duration) -> Self {
        Self { predictions, deciding }
    }

    /// Builds the predictions of texts that all ran the same fixed route.
    pub fn of_fixed_route(probabilities: Vec<Vec<f32>>, route: &Route, flops: impl IntoIterator<Item = u64>) -> Self {
        Self::of_routes(probabilities, std::iter::repeat(route.clone()), flops)
    }

    /// Builds the predictions of texts from their probabilities, routes and FLOPs, without a router.
    pub fn of_routes(
        probabilities: Vec<Vec<f32>>,
        routes: impl IntoIterator<Item = Route>,
        flops: impl IntoIterator<Item = u64>,
    ) -> Self {
        let texts = probabilities.into_iter().zip(routes).zip(flops);
        let predictions = texts.map(|((probabilities, route), flops)| Prediction::new(probabilities, route, flops));
        Self { predictions: predictions.collect(), deciding: Duration::ZERO }
    }

    /// Predicts samples in batches of similar lengths, the longest first. Returns the predictions in the order of the
    /// samples.
    ///
    /// # Errors
    /// Errors of `predict`; [`Error::Transformer`](crate::Error::Transformer) if the batch size is 0.
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

/// Collects predictions that arrive in any order, and returns them in the order of the samples.
pub(crate) struct PredictionRows {
    pub(crate) predictions: Vec<Option<Prediction>>,
    pub(crate) deciding: Duration,
}

impl PredictionRows {
    pub(crate) fn new(samples: usize) -> Self {
        Self { predictions: vec![None; samples], deciding: Duration::ZERO }
    }

    /// Adds the predictions of the samples `rows`.
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

/// Number of tokens of each sample.
pub(crate) fn lengths_of(samples: &[Sample]) -> Vec<usize> {
    samples.iter().map(|sample| sample.encoding.ids.len()).collect()
}

/// Packs the samples `rows` into a batch.
pub(crate) fn pack(samples: &[Sample], rows: &[usize]) -> Result<PackedBatch> {
    Ok(PackedBatch::from_samples(rows.iter().map(|row| &samples[*row]))?)
}
