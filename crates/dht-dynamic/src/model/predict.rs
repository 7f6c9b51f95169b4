//! Predictions of a dynamic model, which is a model with early exits.

use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, Sample};

use super::dynamic::DynamicModel;
use crate::error::{Error, Result};
use crate::passage::{FrontOutcome, Passage, PassedExits, Walk};
use crate::prediction::{BatchPredictions, Prediction, Predictor};
use crate::route::Route;

impl DynamicModel {
    /// Builds the loop that runs texts through this model's layers, exits and routers.
    fn walk<'a>(&'a self, ctx: &'a ForwardContext) -> Walk<'a> {
        Walk { front: self.front(), heads: self.head_router(), ..Walk::new(self.model(), self.router(), ctx) }
    }

    /// Predicts the texts of a batch. Each text runs up to the exit at which the router stops it. Repeated calls give
    /// the same predictions. For many batches, an [`Engine`](crate::Engine) is faster, since it reuses packed weights,
    /// as does [`Predictor::predict`] with one context.
    ///
    /// # Errors
    /// Errors of the encoder, the exits and the router.
    pub fn predict_batch(&self, batch: &PackedBatch) -> Result<Vec<Prediction>> {
        Ok(self.walk(&ForwardContext::inference()).predict(batch)?.predictions)
    }

    /// Predicts a batch as [`predict_batch`](Self::predict_batch) does. [`Prediction::stages`] then has the
    /// log-probabilities of every exit that a text passed. All passed exits are computed, even if the router does not
    /// read them.
    ///
    /// # Errors
    /// As [`predict_batch`](Self::predict_batch).
    pub fn predict_with_stages(&self, ctx: &ForwardContext, batch: &PackedBatch) -> Result<Vec<Prediction>> {
        Ok(Walk { passed: PassedExits::Attached, ..self.walk(ctx) }.predict(batch)?.predictions)
    }

    /// Predicts a text at every exit, as if it stopped there, in one pass through all layers. Returns no predictions if
    /// the model selects heads, since an exit's answer then depends on the selected heads.
    ///
    /// # Errors
    /// As [`predict_batch`](Self::predict_batch).
    pub(crate) fn predict_at_exits(&self, ctx: &ForwardContext, sample: &Sample) -> Result<Vec<Prediction>> {
        if !self.head_router().keeps_all() {
            return Ok(Vec::new());
        }
        let passed = self.with_all_layers()?.predict_with_stages(ctx, &PackedBatch::from_samples([sample])?)?;
        let text = EncodedDataset { samples: vec![sample.clone()], labels: Vec::new(), truncated_rows: 0 };
        let (layout, walk) = (self.model().layout(), self.walk(ctx));
        let front = self.front().map(|_| Route::without_layers(layout.shape()));
        let after_layers = (0..layout.exits().len()).map(|exit| {
            let heads = vec![layout.shape().heads; layout.groups_before(exit).len()];
            layout.route(exit, &heads)
        });
        let exits = passed.into_iter().flat_map(|prediction| prediction.stages).zip(self.stage_flops(&text));
        let predictions =
            front.into_iter().chain(after_layers).zip(exits).map(|(route, (logs, flops))| {
                Ok(Prediction::new(walk.probabilities(&logs), route?, flops.iter().sum()))
            });
        predictions.collect()
    }

    /// Runs the n-gram classifier on one text, if the model has one. No layer of the encoder is run.
    pub(crate) fn begin(&self, ctx: &ForwardContext, sample: &Sample) -> Result<FrontOutcome> {
        let Some(front) = self.front() else { return Ok(FrontOutcome::Continues(Passage::default())) };
        let (outcomes, _) = self.walk(ctx).in_front(front, &PackedBatch::from_samples([sample])?)?;
        outcomes.into_iter().next().ok_or_else(|| Error::shape("outcomes of a text", "1", 0))
    }

    /// Runs a batch from the first layer. `passages` has the state of each text after the n-gram classifier.
    pub(crate) fn resume(
        &self,
        ctx: &ForwardContext,
        batch: &PackedBatch,
        passages: Vec<Passage>,
    ) -> Result<BatchPredictions> {
        self.walk(ctx).predict_rest(batch, passages)
    }
}

impl Predictor for DynamicModel {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<BatchPredictions> {
        self.walk(ctx).predict(batch)
    }

    fn predict_all(&self, samples: &[Sample], batch_size: usize, ctx: &ForwardContext) -> Result<BatchPredictions> {
        self.walk(ctx).predict_all(samples, batch_size)
    }

    fn check(&self, texts: &EncodedDataset) -> Result<()> {
        self.model().check_texts(texts)
    }

    fn full_flops(&self, tokens: usize) -> u64 {
        self.model().full_flops(tokens)
    }
}
