//! Predictions of a dynamic model.

use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, Sample};

use super::dynamic::DynamicModel;
use super::forward::Forward;
use crate::error::Result;
use crate::predict::{BatchPredictions, Prediction, Predictor, WithSpeed};

impl DynamicModel {
    /// Predicts a batch, each text up to the exit where the router lets it leave. A batch gives the same predictions every time.
    ///
    /// # Errors
    /// What the encoder reports.
    pub fn predict_batch(&self, batch: &PackedBatch) -> Result<Vec<Prediction>> {
        Ok(Forward::new(self, &ForwardContext::inference()).predict(batch)?.predictions)
    }

    /// As [`predict_batch`](Self::predict_batch), with what every exit that a text passed said. All exits that a text passes read it,
    /// whatever the router reads.
    ///
    /// # Errors
    /// As there.
    pub fn predict_with_stages(&self, ctx: &ForwardContext, batch: &PackedBatch) -> Result<Vec<Prediction>> {
        Ok(Forward::new(self, ctx).with_stages().predict(batch)?.predictions)
    }

    /// The prediction of a sample that leaves before the first layer; `None` for one that needs the encoder.
    pub(crate) fn predict_in_front(&self, ctx: &ForwardContext, sample: &Sample) -> Result<Option<Prediction>> {
        Forward::new(self, ctx).predict_in_front(&PackedBatch::from_samples([sample])?)
    }
}

impl Predictor for DynamicModel {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<BatchPredictions> {
        Forward::new(self, ctx).predict(batch)
    }

    fn predict_all(&self, samples: &[Sample], batch_size: usize, ctx: &ForwardContext) -> Result<BatchPredictions> {
        Forward::new(self, ctx).predict_all(samples, batch_size)
    }

    fn check(&self, texts: &EncodedDataset) -> Result<()> {
        self.model().check_texts(texts)
    }

    fn full_flops(&self, tokens: usize) -> u64 {
        self.model().full_flops(tokens)
    }
}

impl WithSpeed for DynamicModel {
    fn speed(&self) -> Option<f64> {
        self.speed()
    }

    fn with_speed(&self, speed: f64) -> Result<Self> {
        self.with_speed(speed)
    }
}
