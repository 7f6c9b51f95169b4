//! Predictions for a text and for a batch.

use std::time::Duration;

use dht_transformer::{HeadSet, PackedBatch, Sample, Task};

use crate::error::Result;
use crate::route::Route;

/// Prediction for a text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// Most probable class or label.
    pub label: u32,
    /// Probability of each class or label.
    pub probabilities: Vec<f32>,
    /// Route of the text: the layers that it ran, and the number of heads in each.
    pub route: Route,
    /// Heads that it kept in each dynamic group of its route; empty for models that do not select heads.
    pub head_sets: Vec<HeadSet>,
    /// FLOPs of all products, two for each multiply-add. They cover the route, every exit that read the text (the
    /// n-gram exit and its stacking included), and a pre-pass that computed a router's inputs.
    pub flops: u64,
    /// FLOPs of the routers, by formula; not included in `flops`.
    pub routing_flops: u64,
    /// Log-probabilities at every stage that the text passed. The n-gram exit is first, the exit that answered last.
    /// Empty unless [requested](crate::DynamicModel::predict_with_stages).
    pub stages: Vec<Vec<f64>>,
}

/// Predictions for a batch.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BatchPredictions {
    /// Predictions, by sample.
    pub predictions: Vec<Prediction>,
    /// Time of the decisions: running the routers, and copying the hidden rows that they read.
    pub deciding: Duration,
}

impl Prediction {
    /// Prediction of a text on a route, with no router FLOPs and no stages.
    pub fn new(probabilities: Vec<f32>, route: Route, flops: u64) -> Self {
        let label = Task::most_probable(&probabilities);
        Self { label, probabilities, route, head_sets: Vec::new(), flops, routing_flops: 0, stages: Vec::new() }
    }
}

impl BatchPredictions {
    /// Combines predictions, by sample, with the time of the decisions.
    pub fn new(predictions: Vec<Prediction>, deciding: Duration) -> Self {
        Self { predictions, deciding }
    }

    /// Predictions of texts that all ran the same fixed route.
    pub fn of_fixed_route(probabilities: Vec<Vec<f32>>, route: &Route, flops: impl IntoIterator<Item = u64>) -> Self {
        Self::of_routes(probabilities, std::iter::repeat(route.clone()), flops)
    }

    /// Predictions of texts on given routes, without a router.
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
    /// Errors of `predict`; [`Error::Transformer`](crate::Error::Transformer) for a batch size of 0.
    pub fn in_batches(
        samples: &[Sample],
        batch_size: usize,
        mut predict: impl FnMut(&PackedBatch) -> Result<Self>,
    ) -> Result<Self> {
        let mut found = Collected::new(samples.len());
        for rows in PackedBatch::longest_first(&lengths_of(samples), batch_size)? {
            found.add(&rows, predict(&pack(samples, &rows)?)?);
        }
        Ok(found.in_order())
    }
}

/// Collects predictions of samples in any order.
pub(crate) struct Collected {
    pub(crate) predictions: Vec<Option<Prediction>>,
    pub(crate) deciding: Duration,
}

impl Collected {
    pub(crate) fn new(samples: usize) -> Self {
        Self { predictions: vec![None; samples], deciding: Duration::ZERO }
    }

    /// Adds the predictions of these samples.
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

/// Packs these rows into a batch.
pub(crate) fn pack(samples: &[Sample], rows: &[usize]) -> Result<PackedBatch> {
    Ok(PackedBatch::from_samples(rows.iter().map(|row| &samples[*row]))?)
}
