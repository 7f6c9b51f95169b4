//! Scoring and timing of any [`Predictor`].

use std::collections::BTreeMap;
use std::time::Instant;

use dht_transformer::train::metrics::Confusion;
use dht_transformer::{EncodedDataset, ForwardContext, HeadSet, Sample};

use crate::error::Result;
use crate::prediction::{BatchPredictions, Prediction, Predictor, in_pool};
use crate::route::Route;

/// Scored predictions on a data set.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Evaluation {
    /// Counts of true and predicted classes.
    pub confusion: Confusion,
    /// The predicted class of each row.
    pub labels: Vec<u32>,
    /// The probability of the predicted class of each row.
    pub probabilities: Vec<f32>,
    /// The loss of each row: −ln of the probability of its label, in nats; at most 87, the value for the smallest f32.
    pub losses: Vec<f64>,
    /// The route of each row.
    pub routes: Vec<Route>,
    /// The heads that each row kept in each dynamic group of its route; empty lists for models that do not select
    /// heads.
    pub head_sets: Vec<Vec<HeadSet>>,
    /// FLOPs of each row: all products and the routers.
    pub row_flops: Vec<u64>,
    /// FLOPs of all products: the sum over rows of [`Prediction::flops`].
    pub flops: u64,
    /// FLOPs of the routers, by formula.
    pub routing_flops: u64,
    /// The mean cost of a route by layers × heads, as a share of the full model (the paper's estimate).
    pub layer_head_ratio: f64,
    /// Wall-clock seconds of this pass, without tokenising. They include packing the weights in the first batch: to
    /// compare wall-clock times use [`time_in_turns`](super::time_in_turns).
    pub seconds: f64,
    /// Seconds of pooling and routers, included in `seconds`.
    pub routing_seconds: f64,
}

impl Evaluation {
    /// The number of rows on each route.
    pub fn route_counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for route in &self.routes {
            *counts.entry(route.to_string()).or_default() += 1;
        }
        counts
    }
}

/// Predicts every row and scores the predictions.
///
/// # Errors
/// Errors of the model, including the error for a batch size of 0; [`Error::Argument`](crate::Error::Argument) for
/// classes that differ from the model's, and for multi-label or regression texts.
pub fn evaluate(model: &dyn Predictor, data: &EncodedDataset, batch_size: usize) -> Result<Evaluation> {
    model.check(data)?;
    let start = Instant::now();
    let ctx = ForwardContext::inference();
    let found = in_pool(|| model.predict_all(&data.samples, batch_size, &ctx))?;
    let seconds = start.elapsed().as_secs_f64();
    let BatchPredictions { predictions, deciding } = found;
    let labels: Vec<u32> = predictions.iter().map(|prediction| prediction.label).collect();
    let probability = |found: &Prediction| found.probabilities[found.label as usize];
    let probabilities = predictions.iter().map(probability).collect();
    let confusion = Confusion::from_predictions(data, &labels)?;
    // `check` has verified that every label is one of the model's classes.
    let loss = |(prediction, sample): (&Prediction, &Sample)| {
        let probability = prediction.probabilities[sample.label as usize];
        -f64::from(probability.max(f32::MIN_POSITIVE)).ln()
    };
    let losses = predictions.iter().zip(&data.samples).map(loss).collect();
    let row_flops = predictions.iter().map(|prediction| prediction.flops + prediction.routing_flops).collect();
    let mut layer_head = 0.0;
    for prediction in &predictions {
        layer_head += prediction.route.head_share();
    }
    let flops = predictions.iter().map(|prediction| prediction.flops).sum();
    let routing_flops = predictions.iter().map(|prediction| prediction.routing_flops).sum();
    let layer_head_ratio = layer_head / predictions.len().max(1) as f64;
    let choices = predictions.into_iter().map(|prediction| (prediction.route, prediction.head_sets));
    let (routes, head_sets) = choices.unzip();
    Ok(Evaluation {
        confusion,
        labels,
        probabilities,
        losses,
        flops,
        routing_flops,
        layer_head_ratio,
        row_flops,
        routes,
        head_sets,
        seconds,
        routing_seconds: deciding.as_secs_f64(),
    })
}
