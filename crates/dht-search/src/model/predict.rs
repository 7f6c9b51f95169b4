//! Predictions of a search model.

use dht_dynamic::passage::{PassedExits, Walk};
use dht_dynamic::serving::ServedModel;
use dht_dynamic::{BatchPredictions, DynamicModel, Prediction, Predictor, Router};
use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, Sample};

use super::search_model::SearchModel;
use crate::error::Result;

impl SearchModel {
    /// Forward pass of texts through this model, in which the routers decide depth and heads.
    pub(crate) fn walk<'a>(&'a self, ctx: &'a ForwardContext, passed: PassedExits) -> Walk<'a> {
        Walk { heads: &*self.heads, passed, ..Walk::new(&self.model, &*self.router, ctx) }
    }

    /// Predicts a batch. Each text runs the route that the routers select for it, without exploration or learning.
    /// Until the routers have completed their warm-up, every text runs all layers and heads.
    ///
    /// In each group of layers, texts that keep the same number of heads share one head set, selected for the mean of
    /// their contexts (the router's inputs). The heads that a text keeps may therefore depend on the batch. Repeated
    /// calls with the same batch give the same predictions.
    ///
    /// # Errors
    /// Returns an error of the encoder.
    pub fn predict_batch(&self, batch: &PackedBatch) -> Result<Vec<Prediction>> {
        Ok(self.predict_in(&ForwardContext::inference(), batch)?.predictions)
    }

    /// Predicts a batch as [`predict_batch`](Self::predict_batch), and also returns the answers of all early exits that
    /// each text passed. Every exit is evaluated, also where the router does not use its answer.
    ///
    /// # Errors
    /// As [`predict_batch`](Self::predict_batch).
    pub fn predict_with_stages(&self, ctx: &ForwardContext, batch: &PackedBatch) -> Result<Vec<Prediction>> {
        Ok(self.walk(ctx, PassedExits::Attached).predict(batch)?.predictions)
    }

    /// Predicts a batch as [`predict_batch`](Self::predict_batch), but in the caller's forward context, whose packed
    /// weights several calls can share.
    pub(crate) fn predict_in(&self, ctx: &ForwardContext, batch: &PackedBatch) -> Result<BatchPredictions> {
        Ok(self.walk(ctx, PassedExits::Skip).predict(batch)?)
    }
}

impl Predictor for SearchModel {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> dht_dynamic::Result<BatchPredictions> {
        Ok(self.predict_in(ctx, batch)?)
    }

    fn predict_all(
        &self,
        samples: &[Sample],
        batch_size: usize,
        ctx: &ForwardContext,
    ) -> dht_dynamic::Result<BatchPredictions> {
        self.walk(ctx, PassedExits::Skip).predict_all(samples, batch_size)
    }

    fn check(&self, texts: &EncodedDataset) -> dht_dynamic::Result<()> {
        self.model.check_texts(texts)
    }

    fn full_flops(&self, tokens: usize) -> u64 {
        self.model.full_flops(tokens)
    }
}

/// Converts a search model to a [`DynamicModel`], for programs that do not train it. Both share their weights; the
/// dynamic model has a copy of the routers.
impl From<SearchModel> for DynamicModel {
    fn from(model: SearchModel) -> Self {
        let description = model.description();
        let SearchModel { model, router, heads, .. } = model;
        let (router, heads): (Box<dyn Router>, Box<dyn Router>) = (router, heads);
        Self::of_router(model, router.into()).with_head_router(heads.into()).with_description(description)
    }
}

impl From<SearchModel> for ServedModel {
    fn from(model: SearchModel) -> Self {
        DynamicModel::from(model).into()
    }
}
