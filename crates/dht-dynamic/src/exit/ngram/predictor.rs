//! Implementation of [`Predictor`] for the n-gram classifier.

use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch};

use super::classifier::NgramClassifier;
use crate::error::Result;
use crate::prediction::{BatchPredictions, Predictor};
use crate::route::Route;

/// Predicts texts without running any layer of an encoder.
impl Predictor for NgramClassifier {
    fn predict(&self, batch: &PackedBatch, _: &ForwardContext) -> Result<BatchPredictions> {
        let (logs, flops) = self.answers(batch)?;
        let route = Route::without_layers(self.full_model().shape())?;
        Ok(BatchPredictions::of_fixed_route(logs.probabilities(), &route, flops))
    }

    fn check(&self, texts: &EncodedDataset) -> Result<()> {
        Ok(texts.check_classes(self.classes())?)
    }

    fn full_flops(&self, tokens: usize) -> u64 {
        self.full_model().flops(tokens)
    }
}
