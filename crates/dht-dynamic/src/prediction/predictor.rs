//! Trait of models that predict classes or labels of texts.

use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, Sample, TextClassifier};

use super::prediction::BatchPredictions;
use crate::error::Result;
use crate::outputs::Outputs;
use crate::route::{ModelShape, Route};

/// Model that predicts the class or labels of texts: a dynamic model, a full classifier or a custom baseline.
pub trait Predictor: Sync {
    /// Predicts the texts of a batch, in their order. The context stores packed weights for the next batch.
    ///
    /// # Errors
    /// Errors of the model.
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<BatchPredictions>;

    /// Predicts samples in batches of at most `batch_size`, and returns the predictions in the order of the samples. By
    /// default, samples of similar lengths form a batch. [`evaluate`](fn@crate::evaluate),
    /// [`time_in_turns`](crate::evaluation::time_in_turns) and the [`Engine`](crate::Engine) call this method. A model
    /// with early exits re-forms its batches from the remaining texts: it processes several batches concurrently, and
    /// at most `batch_size` texts run a layer together.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); [`Error::Transformer`](crate::Error::Transformer) if the batch size is 0.
    fn predict_all(&self, samples: &[Sample], batch_size: usize, ctx: &ForwardContext) -> Result<BatchPredictions> {
        BatchPredictions::in_batches(samples, batch_size, |batch| self.predict(batch, ctx))
    }

    /// Rejects data sets on which this model cannot be scored, for example with other classes.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) or [`Error::Transformer`](crate::Error::Transformer) if the samples
    /// or classes do not fit the model; the error names the cause.
    fn check(&self, texts: &EncodedDataset) -> Result<()>;

    /// FLOPs that the full model needs for a text of `tokens` tokens, the denominator of FLOPs ratios.
    fn full_flops(&self, tokens: usize) -> u64;

    /// FLOPs that the full model needs to predict a data set.
    fn full_flops_of(&self, texts: &EncodedDataset) -> u64 {
        texts.lengths().into_iter().map(|tokens| self.full_flops(tokens)).sum()
    }
}

impl Predictor for TextClassifier {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<BatchPredictions> {
        let probabilities = self.task().probabilities(&self.logits(batch, ctx)?, &batch.sample_ids)?;
        let (layers, heads) = (self.encoder().layers(), self.encoder().block_shape().heads);
        let route = Route::truncated(ModelShape { layers, heads }, layers)?;
        let flops = batch.spans.lengths().map(|tokens| self.full_flops(tokens));
        Ok(BatchPredictions::of_fixed_route(probabilities, &route, flops))
    }

    fn check(&self, texts: &EncodedDataset) -> Result<()> {
        let outputs = Outputs::new(self.task(), self.classifier().classes())?;
        self.encoder().check_samples(texts)?;
        Ok(self.task().check_targets(texts, outputs.count())?)
    }

    fn full_flops(&self, tokens: usize) -> u64 {
        self.forward_flops(dht_transformer::flops::Load::of_text(tokens)).0
    }
}

/// Runs a prediction in the thread pool. A thread outside the pool would sleep and be woken for every layer.
pub(crate) fn in_pool<R: Send>(predict: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| predict())
}
