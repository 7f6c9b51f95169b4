//! Scores and times models in another numeric precision than f32.

use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, Precision, Sample};

use crate::error::Result;
use crate::prediction::{BatchPredictions, Predictor};

/// Wrapper that computes a model's layers in another [`Precision`], such as eight-bit integers. It can be scored and
/// timed like any other model.
///
/// # Examples
/// ```
/// use dht_dynamic::transformer::{EncodedDataset, Precision};
/// use dht_dynamic::{DynamicModel, Result, evaluate, evaluation::InPrecision};
///
/// /// Accuracy in single precision and with eight-bit integers.
/// fn accuracies(model: &DynamicModel, texts: &EncodedDataset) -> Result<[f64; 2]> {
///     let of = |precision| evaluate(&InPrecision::new(model, precision), texts, 64);
///     Ok([of(Precision::F32)?.confusion.accuracy(), of(Precision::Int8)?.confusion.accuracy()])
/// }
/// ```
#[derive(Debug)]
pub struct InPrecision<'a, M> {
    model: &'a M,
    /// Forward context with the selected precision. It caches packed weights.
    ctx: ForwardContext,
}

impl<'a, M: Predictor> InPrecision<'a, M> {
    /// Wraps a model to compute in the precision `precision`. See [`Precision`] for the effect and the supported
    /// devices.
    pub fn new(model: &'a M, precision: Precision) -> Self {
        Self { model, ctx: ForwardContext::inference_in(precision) }
    }

    /// Wraps another model in the same precision, such as the same weights at another speed. Both wrappers share their
    /// packed weights.
    pub fn with_model<'b, N: Predictor>(&self, model: &'b N) -> InPrecision<'b, N> {
        InPrecision { model, ctx: self.ctx.clone() }
    }
}

/// Predicts in the wrapper's precision. The precision of the caller's context is ignored.
impl<M: Predictor> Predictor for InPrecision<'_, M> {
    fn predict(&self, batch: &PackedBatch, _: &ForwardContext) -> Result<BatchPredictions> {
        self.model.predict(batch, &self.ctx)
    }

    fn predict_all(&self, samples: &[Sample], batch_size: usize, _: &ForwardContext) -> Result<BatchPredictions> {
        self.model.predict_all(samples, batch_size, &self.ctx)
    }

    fn check(&self, texts: &EncodedDataset) -> Result<()> {
        self.model.check(texts)
    }

    fn full_flops(&self, tokens: usize) -> u64 {
        self.model.full_flops(tokens)
    }
}
