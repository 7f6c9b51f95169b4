//! Two models of one text: their log-probabilities are weighed and added.

use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, TextClassifier, tensors::log_softmax};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::evaluation::Predictor;
use crate::linear_model::{self, Function, minimize};
use crate::model::{BatchPredictions, LogProbabilities, NgramClassifier};
use crate::space::{ModelShape, Route};

/// Weights that add the log-probabilities of an n-gram classifier and of an exit: the score of a class is
/// a·ln p(n-gram) + b·ln p(exit), and the softmax of the scores gives probabilities again. No class has a bias, so that the
/// weights hold where classes are balanced otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stacker {
    /// a, the weight of the n-gram classifier.
    pub ngram: f64,
    /// b, the weight of the exit.
    pub exit: f64,
}

/// Where a fit ends: ‖∇‖₂ of the mean objective.
const TOLERANCE: f64 = 1e-9;
/// The most steps of a fit of two weights.
const MOST_STEPS: u64 = 200;

/// Σᵢ lossᵢ + ½‖(a, b) − (½, ½)‖², divided by the number of rows.
struct StackedLoss<'a> {
    tables: [&'a LogProbabilities; 2],
    labels: &'a [u32],
}

impl Function for StackedLoss<'_> {
    fn value_and_gradient(&self, at: &[f64]) -> (f64, Vec<f64>) {
        let [ngram, exit] = self.tables;
        let (mut value, mut gradient) = (0.0, vec![0.0; 2]);
        for ((ngram, exit), label) in ngram.rows().zip(exit.rows()).zip(self.labels) {
            let mut scores: Vec<f64> =
                ngram.iter().zip(exit).map(|(ngram, exit)| at[0] * ngram + at[1] * exit).collect();
            linear_model::log_softmax(&mut scores);
            value -= scores[*label as usize];
            for (class, log) in scores.iter().enumerate() {
                let residual = log.exp() - if class == *label as usize { 1.0 } else { 0.0 };
                gradient[0] += residual * ngram[class];
                gradient[1] += residual * exit[class];
            }
        }
        let rows = self.labels.len() as f64;
        for (gradient, weight) in gradient.iter_mut().zip(at) {
            value += 0.5 * (weight - 0.5).powi(2);
            *gradient = (*gradient + weight - 0.5) / rows;
        }
        (value / rows, gradient)
    }
}

impl Stacker {
    /// Half of each, for where there are no held-out rows.
    pub fn halves() -> Self {
        Self { ngram: 0.5, exit: 0.5 }
    }

    /// Fits the weights on rows that neither model has learned from. They minimise Σᵢ lossᵢ + ½‖(a, b) − (½, ½)‖²: without
    /// rows they are [`halves`](Self::halves), and where some weights predict every row, they stay finite.
    ///
    /// # Errors
    /// [`Error::Setting`] for tables of different shapes, and for labels that are not one class for each row.
    pub fn fit(ngram: &LogProbabilities, exit: &LogProbabilities, labels: &[u32]) -> Result<Self> {
        check_alike(ngram, exit)?;
        if labels.len() != ngram.len() {
            return Err(Error::setting("labels", format!("{}, one a row", ngram.len()), labels.len()));
        }
        if let Some(label) = labels.iter().find(|label| **label as usize >= ngram.classes()) {
            return Err(Error::setting("label", format!("below {}", ngram.classes()), label));
        }
        let halves = Self::halves();
        if labels.is_empty() {
            return Ok(halves);
        }
        let loss = StackedLoss { tables: [ngram, exit], labels };
        let minimum = minimize(&loss, vec![halves.ngram, halves.exit], TOLERANCE, MOST_STEPS)?;
        Ok(Self { ngram: minimum.at[0], exit: minimum.at[1] })
    }

    /// The log-probabilities of both models together.
    ///
    /// # Errors
    /// [`Error::Setting`] for tables of different shapes, and for weights that are not finite.
    pub fn stack(&self, ngram: &LogProbabilities, exit: &LogProbabilities) -> Result<LogProbabilities> {
        check_alike(ngram, exit)?;
        let mut values = Vec::with_capacity(ngram.len() * ngram.classes());
        for (ngram, exit) in ngram.rows().zip(exit.rows()) {
            let mut scores: Vec<f64> =
                ngram.iter().zip(exit).map(|(ngram, exit)| self.ngram * ngram + self.exit * exit).collect();
            linear_model::log_softmax(&mut scores);
            values.append(&mut scores);
        }
        LogProbabilities::new(ngram.classes(), values)
    }

    /// FLOPs of the products for one text: two multiply-adds a class.
    pub(super) fn flops(classes: usize) -> u64 {
        4 * classes as u64
    }
}

fn check_alike(ngram: &LogProbabilities, exit: &LogProbabilities) -> Result<()> {
    let shapes = [ngram, exit].map(|table| format!("{} rows of {} classes", table.len(), table.classes()));
    let [expected, got] = shapes;
    if expected == got { Ok(()) } else { Err(Error::setting("log-probabilities of the exit", expected, got)) }
}

/// The log-probabilities of a batch in a classifier.
pub(super) fn log_probabilities_of(
    classifier: &TextClassifier,
    batch: &PackedBatch,
    ctx: &ForwardContext,
) -> Result<LogProbabilities> {
    let rows: Vec<Vec<f32>> = log_softmax(&classifier.logits(batch, ctx)?)?.to_vec2()?;
    LogProbabilities::new(classifier.classifier().classes(), rows.concat().into_iter().map(f64::from).collect())
}

/// A classifier's layers and heads.
pub(super) fn shape_of(classifier: &TextClassifier) -> ModelShape {
    let encoder = classifier.encoder();
    ModelShape { layers: encoder.layers(), heads: encoder.block_shape().heads }
}

/// Refuses a classifier that does not predict the classes of an n-gram classifier.
pub(super) fn check_classes(ngram: &NgramClassifier, classifier: &TextClassifier) -> Result<()> {
    let (expected, got) = (ngram.classes(), classifier.classifier().classes());
    if classifier.task() != dht_transformer::Task::Class {
        return Err(Error::setting("task", "single classes", format!("{:?}", classifier.task())));
    }
    if expected == got { Ok(()) } else { Err(Error::setting("classes of a stage", expected.to_string(), got)) }
}

/// An n-gram classifier stacked on a classifier; every text runs both.
#[derive(Debug)]
pub struct Stacked {
    ngram: NgramClassifier,
    classifier: TextClassifier,
    stacker: Stacker,
}

impl Stacked {
    /// Both models with their weights.
    ///
    /// # Errors
    /// [`Error::Setting`] when the two have not the same number of classes, or the classifier predicts something else.
    pub fn new(ngram: NgramClassifier, classifier: TextClassifier, stacker: Stacker) -> Result<Self> {
        check_classes(&ngram, &classifier)?;
        Ok(Self { ngram, classifier, stacker })
    }
}

impl Predictor for Stacked {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<BatchPredictions> {
        let (ngram, flops) = self.ngram.log_probabilities_and_flops(batch)?;
        let logs = self.stacker.stack(&ngram, &log_probabilities_of(&self.classifier, batch, ctx)?)?;
        let shape = shape_of(&self.classifier);
        let add = |(flops, tokens)| flops + self.classifier.full_flops(tokens) + Stacker::flops(ngram.classes());
        let flops: Vec<u64> = flops.into_iter().zip(batch.spans.lengths()).map(add).collect();
        Ok(BatchPredictions::of_fixed_route(logs.probabilities(), &Route::truncated(shape, shape.layers)?, flops))
    }

    fn check(&self, texts: &EncodedDataset) -> Result<()> {
        Ok(texts.check_classes(self.ngram.classes())?)
    }

    fn full_flops(&self, tokens: usize) -> u64 {
        self.classifier.full_flops(tokens)
    }
}

#[cfg(test)]
mod tests;
