//! Evaluation: one function scores every [`Predictor`] and measures its time in the same way.

pub mod controls;
mod in_precision;
mod on_routes;
mod queued;
mod regret;
mod risk_control;
mod speed;
mod stages;
mod timing;

use std::collections::BTreeMap;
use std::time::Instant;

use dht_transformer::{
    EncodedDataset, ForwardContext, HeadSet, PackedBatch, Sample, TextClassifier,
    tensors::{finite_rows, log_softmax},
    train::metrics::{Confusion, score},
};

use crate::cost::LayerHeadCount;
use crate::error::Result;
use crate::model::{BatchPredictions, DynamicModel, Prediction, in_pool};
use crate::routing::RouteChoice;
use crate::space::{ModelShape, Route};

pub use crate::model::exit_log_probabilities;
pub use in_precision::InPrecision;
pub use queued::{Queued, evaluate_queued};
pub use regret::{FixedArms, Regret};
pub use risk_control::{Calibration, Guarantee, Promise, Promised, Risk, control_risk, with_promise};
pub use speed::{CALIBRATION_TOLERANCE, Speed, SpeedCurve, SpeedPoint, calibrate};
pub use stages::{LeavingRule, Staged, Stages, stage_flops, stage_log_probabilities};
pub use timing::{PassTimes, time_in_turns};

/// Predicts batches: a dynamic model, a full classifier, a baseline.
pub trait Predictor: Sync {
    /// Predicts a batch, in its order. The context keeps packed weights for the next batch.
    ///
    /// # Errors
    /// What the model reports.
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<BatchPredictions>;

    /// Predicts samples, at most `batch_size` of them together, in their order: by default in batches of like lengths. This
    /// is what [`evaluate`], [`time_in_turns`] and the [`Engine`](crate::Engine) call. A model whose texts leave on the way
    /// forms its batches of those that stay: it has several batches under way at once, of which at most `batch_size` texts
    /// run a layer together.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); [`Error::Transformer`](crate::Error::Transformer) for a batch size of 0.
    fn predict_all(&self, samples: &[Sample], batch_size: usize, ctx: &ForwardContext) -> Result<BatchPredictions> {
        BatchPredictions::in_batches(samples, batch_size, |batch| self.predict(batch, ctx))
    }

    /// Refuses texts that this model cannot be scored on.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) or [`Error::Transformer`](crate::Error::Transformer) that says what does
    /// not fit.
    fn check(&self, texts: &EncodedDataset) -> Result<()>;

    /// FLOPs of a text of this length in the full model, the denominator of FLOPs ratios.
    fn full_flops(&self, tokens: usize) -> u64;
}

impl Predictor for DynamicModel {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<BatchPredictions> {
        self.predict_in(ctx, batch)
    }

    fn predict_all(&self, samples: &[Sample], batch_size: usize, ctx: &ForwardContext) -> Result<BatchPredictions> {
        self.predict_all_in(ctx, samples, batch_size)
    }

    fn check(&self, texts: &EncodedDataset) -> Result<()> {
        self.model.check_texts(texts)
    }

    fn full_flops(&self, tokens: usize) -> u64 {
        let (model, reads) = (&self.model, self.model.full_reads());
        model.full_route().map_or(0, |route| model.forward_flops(&route, tokens, &reads))
    }
}

impl Predictor for TextClassifier {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<BatchPredictions> {
        let probabilities = finite_rows(&log_softmax(&self.logits(batch, ctx)?)?.exp()?, &batch.sample_ids)?;
        let (layers, heads) = (self.encoder().layers(), self.encoder().block_shape().heads);
        let route = Route::truncated(ModelShape { layers, heads }, layers)?;
        let flops = batch.spans.lengths().map(|tokens| self.full_flops(tokens));
        Ok(BatchPredictions::of_fixed_route(probabilities, &route, flops))
    }

    fn check(&self, texts: &EncodedDataset) -> Result<()> {
        self.encoder().check_samples(texts)?;
        Ok(texts.check_classes(self.classifier().classes())?)
    }

    fn full_flops(&self, tokens: usize) -> u64 {
        self.forward_flops(dht_transformer::flops::Load::of_text(tokens)).0
    }
}

/// Predictions on a data set, scored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Evaluation {
    /// Counts of true and predicted classes.
    pub confusion: Confusion,
    /// The predicted class of each row.
    pub labels: Vec<u32>,
    /// The loss of each row, −ln of the probability of its class in nats (at most 87, the smallest f32's).
    pub losses: Vec<f64>,
    /// The route of each row.
    pub routes: Vec<Route>,
    /// The heads that each row kept in each dynamic group of its route; empty lists for models that choose none.
    pub head_sets: Vec<Vec<HeadSet>>,
    /// FLOPs of each row: of all products and of the routers.
    pub row_flops: Vec<u64>,
    /// FLOPs of all products: the sum over rows of [`Prediction::flops`].
    pub flops: u64,
    /// FLOPs of the routers, by formula.
    pub bandit_flops: u64,
    /// The mean cost of a route by layers × heads, as a share of the full model (the paper's estimate).
    pub layer_head_ratio: f64,
    /// Wall clock of this one pass, without tokenising. Its first batch packs the weights: to compare models by the clock
    /// take [`time_in_turns`].
    pub seconds: f64,
    /// Of those, pooling and routers.
    pub bandit_seconds: f64,
}

impl Evaluation {
    /// The route and the head sets of each row.
    pub(crate) fn choices(&self) -> Vec<RouteChoice> {
        let pairs = self.routes.iter().zip(&self.head_sets);
        pairs.map(|(route, head_sets)| RouteChoice { route: route.clone(), head_sets: head_sets.clone() }).collect()
    }

    /// How many rows took each route.
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
/// What the model reports; [`Error::Setting`](crate::Error::Setting) for a batch size of 0, for other classes than the
/// model's, and for texts of several labels or of a numeric target.
pub fn evaluate(model: &dyn Predictor, data: &EncodedDataset, batch_size: usize) -> Result<Evaluation> {
    model.check(data)?;
    let start = Instant::now();
    let ctx = ForwardContext::inference();
    let found = in_pool(|| model.predict_all(&data.samples, batch_size, &ctx))?;
    let seconds = start.elapsed().as_secs_f64();
    let BatchPredictions { predictions, deciding } = found;
    let labels: Vec<u32> = predictions.iter().map(|prediction| prediction.label).collect();
    let confusion = score(data, &labels)?;
    // `check` has verified that every label is one of the model's classes.
    let loss = |(prediction, sample): (&Prediction, &Sample)| {
        let probability = prediction.probabilities[sample.label as usize];
        -f64::from(probability.max(f32::MIN_POSITIVE)).ln()
    };
    let losses = predictions.iter().zip(&data.samples).map(loss).collect();
    let row_flops = predictions.iter().map(|prediction| prediction.flops + prediction.routing_flops).collect();
    let mut layer_head = 0.0;
    for prediction in &predictions {
        layer_head += LayerHeadCount::default().share(&prediction.route);
    }
    let flops = predictions.iter().map(|prediction| prediction.flops).sum();
    let bandit_flops = predictions.iter().map(|prediction| prediction.routing_flops).sum();
    let layer_head_ratio = layer_head / predictions.len().max(1) as f64;
    let choices = predictions.into_iter().map(|prediction| (prediction.route, prediction.head_sets));
    let (routes, head_sets) = choices.unzip();
    Ok(Evaluation {
        confusion,
        labels,
        losses,
        flops,
        bandit_flops,
        layer_head_ratio,
        row_flops,
        routes,
        head_sets,
        seconds,
        bandit_seconds: deciding.as_secs_f64(),
    })
}

#[cfg(test)]
mod control_tests;
#[cfg(test)]
mod tests;
