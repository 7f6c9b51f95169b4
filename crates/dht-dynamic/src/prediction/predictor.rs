//! Trait of models that predict classes or labels of texts.

use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, Sample, TextClassifier};

use super::prediction::BatchPredictions;
use crate::error::Result;
use crate::outputs::Outputs;
use crate::route::{ModelShape, Route};

/// Model that predicts the class or labels of texts: a model with early exits, a full classifier or a custom baseline.
///
/// # Examples
/// Baseline that predicts the same class for every text:
///
/// ```
/// use dht_dynamic::route::ModelShape;
/// use dht_dynamic::transformer::{EncodedDataset, ForwardContext, PackedBatch};
/// # use dht_dynamic::transformer::{Dataset, Example, TextTokenizer};
/// use dht_dynamic::{BatchPredictions, Predictor, Result, Route, evaluate};
///
/// struct FirstClass;
///
/// impl Predictor for FirstClass {
///     fn predict(&self, batch: &PackedBatch, _: &ForwardContext) -> Result<BatchPredictions> {
///         let route = Route::without_layers(ModelShape { layers: 12, heads: 12 })?;
///         let probabilities = vec![vec![0.9, 0.1]; batch.len()];
///         Ok(BatchPredictions::of_fixed_route(probabilities, &route, vec![0; batch.len()]))
///     }
///
///     fn check(&self, _: &EncodedDataset) -> Result<()> {
///         Ok(())
///     }
///
///     fn full_flops(&self, tokens: usize) -> u64 {
///         1_000_000 * tokens as u64
///     }
/// }
///
/// # let examples = [("good food", 1), ("bad food", 0), ("good film", 1), ("bad film", 0)];
/// # let examples = examples.map(|(text, label)| Example::new(text, label)).to_vec();
/// # let data = Dataset::from_examples("reviews", vec!["bad".into(), "good".into()], examples)?;
/// # let tokenizer = TextTokenizer::train(["good bad food film"], 50)?;
/// let texts = tokenizer.encode_all(&data, 16)?;
/// let evaluation = evaluate(&FirstClass, &texts, 8)?;
/// assert_eq!(evaluation.labels, [0, 0, 0, 0]);
/// assert_eq!(evaluation.confusion.accuracy(), 0.5);
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
pub trait Predictor: Sync {
    /// Predicts the texts of a batch, in their order. `ctx` caches packed weights from one batch to the next.
    ///
    /// # Errors
    /// [`Error`](crate::Error) if the model cannot compute the batch.
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<BatchPredictions>;

    /// Predicts texts in batches of at most `batch_size`, and returns the predictions in the order of `samples`. By
    /// default, texts of similar lengths form a batch. [`evaluate`](fn@crate::evaluate),
    /// [`time_in_turns`](crate::evaluation::time_in_turns) and the [`Engine`](crate::Engine) call this method. Models
    /// with early exits re-form their batches as texts stop: several batches are processed concurrently, and at most
    /// `batch_size` texts run a layer together.
    ///
    /// # Errors
    /// * [`Error::Transformer`](crate::Error::Transformer) if the batch size is 0.
    /// * Any error of [`predict`](Self::predict).
    fn predict_all(&self, samples: &[Sample], batch_size: usize, ctx: &ForwardContext) -> Result<BatchPredictions> {
        BatchPredictions::in_batches(samples, batch_size, |batch| self.predict(batch, ctx))
    }

    /// Rejects data sets on which this model cannot be scored, for example because their classes differ from the
    /// model's.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) or [`Error::Transformer`](crate::Error::Transformer) if texts or
    /// classes do not match the model. The error names the cause.
    fn check(&self, texts: &EncodedDataset) -> Result<()>;

    /// FLOPs of the full model, which runs all layers, for a text of `tokens` tokens. Reported FLOPs ratios are
    /// relative to this number.
    fn full_flops(&self, tokens: usize) -> u64;

    /// FLOPs of the full model, which runs all layers, for a whole data set.
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

/// Runs a prediction inside the rayon thread pool. On a thread outside the pool, every layer would put the thread to
/// sleep and wake it.
pub(crate) fn in_pool<R: Send>(predict: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| predict())
}
