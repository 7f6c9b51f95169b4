//! Stacking of an n-gram classifier and a transformer classifier, by a weighted sum of their log-probabilities.

use dht_dynamic::exit::{NgramClassifier, Stacker};
use dht_dynamic::{BatchPredictions, LogProbabilities, Predictor};
use dht_dynamic::{Route, route::ModelShape};
use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, TextClassifier, tensors::log_softmax};

use crate::error::{Error, Result};

pub(super) fn log_probabilities_of(
    classifier: &TextClassifier,
    batch: &PackedBatch,
    ctx: &ForwardContext,
) -> Result<LogProbabilities> {
    let rows: Vec<Vec<f32>> = log_softmax(&classifier.logits(batch, ctx)?)?.to_vec2()?;
    Ok(LogProbabilities::new(classifier.classifier().classes(), rows.concat().into_iter().map(f64::from).collect())?)
}

pub(super) fn shape_of(classifier: &TextClassifier) -> ModelShape {
    let encoder = classifier.encoder();
    ModelShape { layers: encoder.layers(), heads: encoder.block_shape().heads }
}

/// Rejects a classifier whose classes differ from those of an n-gram classifier.
pub(super) fn check_classes(ngram: &NgramClassifier, classifier: &TextClassifier) -> Result<()> {
    let (expected, got) = (ngram.classes(), classifier.classifier().classes());
    if classifier.task() != dht_transformer::Task::Class {
        return Err(Error::argument("task", "single classes", format!("{:?}", classifier.task())));
    }
    if expected == got { Ok(()) } else { Err(Error::argument("classes of a stage", expected.to_string(), got)) }
}

/// N-gram classifier and transformer classifier that both run for every text. A [`Stacker`] combines their
/// log-probabilities.
#[derive(Debug)]
pub struct Stacked {
    ngram: NgramClassifier,
    classifier: TextClassifier,
    stacker: Stacker,
}

impl Stacked {
    /// Combines an n-gram classifier and a transformer classifier by the stacker's weights.
    ///
    /// # Errors
    /// [`Argument`](dht_dynamic::Error::Argument) if the numbers of classes differ, or if the classifier does not
    /// predict one class for each text.
    pub fn new(ngram: NgramClassifier, classifier: TextClassifier, stacker: Stacker) -> Result<Self> {
        check_classes(&ngram, &classifier)?;
        Ok(Self { ngram, classifier, stacker })
    }
}

impl Predictor for Stacked {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> dht_dynamic::Result<BatchPredictions> {
        let (ngram, flops) = self.ngram.answers(batch)?;
        let logs = self.stacker.stack(&ngram, &log_probabilities_of(&self.classifier, batch, ctx)?)?;
        let shape = shape_of(&self.classifier);
        let add = |(flops, tokens)| flops + self.classifier.full_flops(tokens) + Stacker::flops(ngram.classes());
        let flops: Vec<u64> = flops.into_iter().zip(batch.spans.lengths()).map(add).collect();
        Ok(BatchPredictions::of_fixed_route(logs.probabilities(), &Route::truncated(shape, shape.layers)?, flops))
    }

    fn check(&self, texts: &EncodedDataset) -> dht_dynamic::Result<()> {
        Ok(texts.check_classes(self.ngram.classes())?)
    }

    fn full_flops(&self, tokens: usize) -> u64 {
        self.classifier.full_flops(tokens)
    }
}
