//! Models one after another: a text goes on while the one before is not sure.

use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, TextClassifier};

use super::stacking::{check_classes, log_probabilities_of, shape_of};
use crate::error::{Error, Result};
use crate::evaluation::Predictor;
use crate::model::{BatchPredictions, LogProbabilities, NgramClassifier, Stacker, best_class};
use crate::space::{ModelShape, Route};

/// Whether a row goes on to the next stage: while its largest probability is below the threshold. At a threshold of 1 or
/// above every row does, also where a probability is rounded to 1.
fn goes_on(row: &[f64], threshold: f64) -> bool {
    threshold >= 1.0 || best_class(row).1.exp() < threshold
}

fn check_threshold(threshold: f64) -> Result<()> {
    // NaN is no threshold either.
    if threshold >= 0.0 { Ok(()) } else { Err(Error::setting("threshold", "at least 0", threshold)) }
}

/// An n-gram classifier and then classifiers, each of which runs for the texts that go on. Its FLOPs are those of all stages
/// that a text ran. The route of a text is that of its last stage, among the layers of the last classifier. A text leaves at the
/// first stage where its largest probability reaches the threshold, and else at the last: with 0 at the first, with 1 or more
/// at the last. [`Stages`](crate::evaluation::Stages) is its arithmetic: a threshold of t there is one of 1 − t here.
#[derive(Debug)]
pub struct Cascade {
    ngram: NgramClassifier,
    stages: Vec<TextClassifier>,
    stackers: Option<Vec<Stacker>>,
    threshold: f64,
    shape: ModelShape,
}

impl Cascade {
    /// The n-gram classifier, the classifiers after it, and for each of them the weights with which the n-gram classifier is
    /// stacked on it; without weights each classifier speaks alone. Each classifier is a whole model: one that runs after
    /// another begins at its first layer. The last one is the full model of FLOPs ratios.
    ///
    /// # Errors
    /// [`Error::Setting`] for no classifier, other classes than the n-gram classifier's, another number of stackers than
    /// classifiers, more layers or other heads than the last classifier's, and a threshold that is negative or no number.
    pub fn new(
        ngram: NgramClassifier,
        stages: Vec<TextClassifier>,
        stackers: Option<Vec<Stacker>>,
        threshold: f64,
    ) -> Result<Self> {
        check_threshold(threshold)?;
        let Some(shape) = stages.last().map(shape_of) else {
            return Err(Error::setting("stages after the n-gram classifier", "at least 1", 0));
        };
        for stage in &stages {
            check_classes(&ngram, stage)?;
            let ModelShape { layers, heads } = shape_of(stage);
            if heads != shape.heads || layers > shape.layers {
                let expected = format!("at most {} layers of {} heads, as the last", shape.layers, shape.heads);
                return Err(Error::setting("a stage", expected, format!("{layers} layers of {heads} heads")));
            }
        }
        match &stackers {
            Some(stackers) if stackers.len() != stages.len() => {
                Err(Error::setting("stackers", format!("{}, one a classifier", stages.len()), stackers.len()))
            }
            _ => Ok(Self { ngram, stages, stackers, threshold, shape }),
        }
    }

    /// The threshold.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Changes the threshold.
    ///
    /// # Errors
    /// [`Error::Setting`] when it is negative or no number.
    pub fn set_threshold(&mut self, threshold: f64) -> Result<()> {
        check_threshold(threshold)?;
        self.threshold = threshold;
        Ok(())
    }

    /// The log-probabilities of a stage for texts of these n-gram log-probabilities.
    fn stage(
        &self,
        stage: usize,
        ngram: &LogProbabilities,
        batch: &PackedBatch,
        ctx: &ForwardContext,
    ) -> Result<LogProbabilities> {
        let logs = log_probabilities_of(&self.stages[stage], batch, ctx)?;
        match &self.stackers {
            None => Ok(logs),
            Some(stackers) => stackers[stage].stack(ngram, &logs),
        }
    }
}

impl Predictor for Cascade {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<BatchPredictions> {
        let (ngram, mut flops) = self.ngram.log_probabilities_and_flops(batch)?;
        let mut probabilities = ngram.probabilities();
        let mut routes = vec![Route::without_layers(self.shape)?; batch.len()];
        let keep = |left: &[usize], logs: &LogProbabilities| -> Vec<usize> {
            let rows = left.iter().zip(logs.rows()).filter(|(_, row)| goes_on(row, self.threshold));
            rows.map(|(sample, _)| *sample).collect()
        };
        let mut left = keep(&(0..batch.len()).collect::<Vec<_>>(), &ngram);
        for (stage, classifier) in self.stages.iter().enumerate() {
            if left.is_empty() {
                break;
            }
            let part = batch.select(&left);
            let logs = self.stage(stage, &ngram.select(&left), &part, ctx)?;
            let route = Route::truncated(self.shape, classifier.encoder().layers())?;
            let stacking = if self.stackers.is_some() { Stacker::flops(ngram.classes()) } else { 0 };
            for ((sample, row), tokens) in left.iter().zip(logs.probabilities()).zip(part.spans.lengths()) {
                (probabilities[*sample], routes[*sample]) = (row, route.clone());
                flops[*sample] += classifier.full_flops(tokens) + stacking;
            }
            left = keep(&left, &logs);
        }
        Ok(BatchPredictions::of_routes(probabilities, routes, flops))
    }

    fn check(&self, texts: &EncodedDataset) -> Result<()> {
        Ok(texts.check_classes(self.ngram.classes())?)
    }

    /// Of the last classifier alone.
    fn full_flops(&self, tokens: usize) -> u64 {
        self.stages.last().map_or(0, |last| last.full_flops(tokens))
    }
}
