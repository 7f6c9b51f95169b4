//! Predictions of a search model.

use dht_dynamic::passage::{PassedExits, Walk};
use dht_dynamic::serving::ServedModel;
use dht_dynamic::{BatchPredictions, DynamicModel, Prediction, Predictor, Router};
use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, Sample};

use super::search_model::SearchModel;
use crate::error::Result;

impl SearchModel {
    /// Way of texts through this model.
    pub(crate) fn walk<'a>(&'a self, ctx: &'a ForwardContext, passed: PassedExits) -> Walk<'a> {
        Walk { heads: &*self.heads, passed, ..Walk::new(&self.model, &*self.router, ctx) }
    }

    /// Predicts a batch, each text on the route that the routers select, without exploration or learning. A model whose
    /// routers have not completed their warm-up runs all layers and heads.
    ///
    /// In each group of layers, texts that keep the same number of heads share one head set, the best set for the mean
    /// of their contexts. A text may therefore keep other heads alone than in a batch. Repeated calls with one batch
    /// give the same predictions.
    ///
    /// # Errors
    /// Errors of the encoder.
    pub fn predict_batch(&self, batch: &PackedBatch) -> Result<Vec<Prediction>> {
        Ok(self.predict_in(&ForwardContext::inference(), batch)?.predictions)
    }

    /// Predicts a batch as [`predict_batch`](Self::predict_batch), and returns the answers of every stage that a text
    /// passed. All passed exits are evaluated, even where the router does not read them.
    ///
    /// # Errors
    /// As [`predict_batch`](Self::predict_batch).
    pub fn predict_with_stages(&self, ctx: &ForwardContext, batch: &PackedBatch) -> Result<Vec<Prediction>> {
        Ok(self.walk(ctx, PassedExits::Attached).predict(batch)?.predictions)
    }

    /// Predicts a batch as [`predict_batch`](Self::predict_batch), with the caller's context, which keeps the packed
    /// weights.
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

/// Search model for programs that do not train it: another handle on its weights, with a copy of its routers.
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
