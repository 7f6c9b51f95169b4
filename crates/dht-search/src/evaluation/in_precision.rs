//! Models in another precision.

use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, Precision, Sample};

use super::Predictor;
use crate::error::Result;
use crate::model::BatchPredictions;

/// A model whose layers are computed in another precision, to be scored and timed like any other.
///
/// # Examples
/// ```no_run
/// use dht_search::transformer::{EncodedDataset, Precision};
/// use dht_search::{DynamicModel, evaluate, evaluation::InPrecision};
///
/// # fn main() -> dht_search::Result<()> {
/// # let (model, texts): (DynamicModel, EncodedDataset) = unimplemented!();
/// let [exact, rounded] = [Precision::F32, Precision::Int8]
///     .map(|precision| evaluate(&InPrecision::new(&model, precision), &texts, 64));
/// println!("{:.4} and {:.4}", exact?.confusion.accuracy(), rounded?.confusion.accuracy());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct InPrecision<'a, M> {
    model: &'a M,
    /// Holds the packed weights.
    ctx: ForwardContext,
}

impl<'a, M: Predictor> InPrecision<'a, M> {
    /// The model in a precision; see [`Precision`] for what that changes, and on which devices.
    pub fn new(model: &'a M, precision: Precision) -> Self {
        Self { model, ctx: ForwardContext::inference_in(precision) }
    }
}

/// Contexts of callers are not used: this model has its own.
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
