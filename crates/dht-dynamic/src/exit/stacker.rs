//! Stacking: combines two models' answers to one text by a weighted sum of their log-probabilities.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::log_probabilities::LogProbabilities;
use crate::logistic::{Function, minimize};
use crate::outputs::{Outputs, log_softmax};

/// Weights for the sum of the log-probabilities of an n-gram classifier and of an exit. The score of a class is a·ln
/// p(n-gram) + b·ln p(exit), and the softmax of the scores gives probabilities. There is no bias for each class, so
/// that the weights stay valid for other class frequencies. For several labels, the same two weights add the log-odds of
/// each label. Fitted weights are not negative.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stacker {
    /// a, the weight of the n-gram classifier.
    pub ngram: f64,
    /// b, the weight of the exit.
    pub exit: f64,
}

/// Convergence tolerance of a fit: ‖∇‖₂ of the mean objective.
const TOLERANCE: f64 = 1e-9;
/// Maximum number of steps to fit two weights.
const MOST_STEPS: u64 = 200;

/// Objective of a fit: Σᵢ lossᵢ + ½‖(a, b) − (½, ½)‖², divided by the number of rows.
struct StackedLoss<'a> {
    tables: [&'a LogProbabilities; 2],
    labels: &'a [u32],
    /// False for a weight that stays as it is.
    free: [bool; 2],
}

impl Function for StackedLoss<'_> {
    fn flops(&self) -> u64 {
        // Scores and gradient, of two weights each.
        8 * self.tables[0].values().len() as u64
    }

    fn value_and_gradient(&self, at: &[f64]) -> Result<(f64, Vec<f64>)> {
        let [ngram, exit] = self.tables;
        let (mut value, mut gradient) = (0.0, vec![0.0; 2]);
        for ((ngram, exit), label) in ngram.decisions().zip(exit.decisions()).zip(self.labels) {
            let mut scores: Vec<f64> =
                ngram.iter().zip(exit).map(|(ngram, exit)| at[0] * ngram + at[1] * exit).collect();
            log_softmax(&mut scores);
            value -= scores[*label as usize];
            for (class, log) in scores.iter().enumerate() {
                let residual = log.exp() - if class == *label as usize { 1.0 } else { 0.0 };
                gradient[0] += residual * ngram[class];
                gradient[1] += residual * exit[class];
            }
        }
        let rows = self.labels.len() as f64;
        for ((gradient, weight), free) in gradient.iter_mut().zip(at).zip(self.free) {
            value += 0.5 * (weight - 0.5).powi(2);
            *gradient = if free { (*gradient + weight - 0.5) / rows } else { 0.0 };
        }
        Ok((value / rows, gradient))
    }
}

impl Stacker {
    /// Weights of ½ each, for use without held-out rows.
    pub fn halves() -> Self {
        Self { ngram: 0.5, exit: 0.5 }
    }

    /// Fits the weights on rows that neither model has learned from. The weights minimise Σᵢ lossᵢ + ½‖(a, b) − (½,
    /// ½)‖², so that they stay finite even if some weights predict every row correctly, under a, b ≥ 0 (Breiman 1996,
    /// "Stacked regressions"). A model that has learned nothing is wrong more often than by chance on the rows that were
    /// left out of its fit: a class that is frequent there is rare in the rest. A negative weight would take that for
    /// knowledge. Without rows the weights are [`halves`](Self::halves).
    ///
    /// # Errors
    /// [`Error::Argument`] for tables of different shapes, and for labels whose number is not the number of rows, or
    /// that are not classes.
    pub fn fit(ngram: &LogProbabilities, exit: &LogProbabilities, labels: &[u32]) -> Result<Self> {
        Ok(Self::fit_counted(ngram, exit, labels)?.0)
    }

    /// As [`fit`](Self::fit), with the FLOPs of the fit.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_counted(ngram: &LogProbabilities, exit: &LogProbabilities, labels: &[u32]) -> Result<(Self, u64)> {
        check_alike(ngram, exit)?;
        if labels.len() != ngram.decisions().len() {
            return Err(Error::shape("labels", format!("{}, one a row", ngram.decisions().len()), labels.len()));
        }
        if let Some(label) = labels.iter().find(|label| **label as usize >= ngram.outputs().alternatives()) {
            return Err(Error::Range { what: "label", got: *label as usize, below: ngram.outputs().alternatives() });
        }
        let halves = Self::halves();
        if labels.is_empty() {
            return Ok((halves, 0));
        }
        let mut flops = 0;
        let mut minimum = |free: [bool; 2]| {
            let loss = StackedLoss { tables: [ngram, exit], labels, free };
            let start = free.map(|free| if free { 0.5 } else { 0.0 });
            let found = minimize(&loss, start.to_vec(), TOLERANCE, MOST_STEPS)?;
            flops += found.flops;
            let [ngram, exit] = [found.at[0], found.at[1]];
            Ok::<_, Error>((Self { ngram, exit }, loss))
        };
        let (mut best, _) = minimum([true, true])?;
        if best.ngram < 0.0 || best.exit < 0.0 {
            // The objective is convex: its minimum under the constraint is on the border.
            let mut least = f64::INFINITY;
            for free in [[true, false], [false, true]] {
                let (found, loss) = minimum(free)?;
                let found = Self { ngram: found.ngram.max(0.0), exit: found.exit.max(0.0) };
                let value = loss.value_and_gradient(&[found.ngram, found.exit])?.0;
                if value < least {
                    (best, least) = (found, value);
                }
            }
        }
        Ok((best, flops))
    }

    /// The log-probabilities of the two models, combined by the weights.
    ///
    /// # Errors
    /// [`Error::Argument`] for tables of different shapes, and for weights that are not finite.
    pub fn stack(&self, ngram: &LogProbabilities, exit: &LogProbabilities) -> Result<LogProbabilities> {
        check_alike(ngram, exit)?;
        let (outputs, mut values) = (ngram.outputs(), Vec::with_capacity(ngram.values().len()));
        for (ngram, exit) in ngram.rows().zip(exit.rows()) {
            values.append(&mut self.stack_row(outputs, ngram, exit));
        }
        LogProbabilities::of(outputs, values)
    }

    /// The log-probabilities of the two models for one text, combined by the weights.
    pub(crate) fn stack_row(&self, outputs: Outputs, ngram: &[f64], exit: &[f64]) -> Vec<f64> {
        let mut scores: Vec<f64> =
            ngram.iter().zip(exit).map(|(ngram, exit)| self.ngram * ngram + self.exit * exit).collect();
        scores.chunks_exact_mut(outputs.alternatives()).for_each(log_softmax);
        scores
    }

    /// FLOPs of the products for one text: two multiply-adds for each class or label.
    pub fn flops(classes: usize) -> u64 {
        4 * classes as u64
    }
}

fn check_alike(ngram: &LogProbabilities, exit: &LogProbabilities) -> Result<()> {
    let shapes = [ngram, exit].map(|table| format!("{} rows of {}", table.len(), table.outputs()));
    let [expected, got] = shapes;
    if expected == got { Ok(()) } else { Err(Error::shape("log-probabilities of the exit", expected, got)) }
}

#[cfg(test)]
mod tests;
