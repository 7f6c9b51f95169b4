//! Stacking: combines the predictions of two models by a weighted sum of log-probabilities.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::log_probabilities::LogProbabilities;
use crate::logistic::{Function, minimize};
use crate::outputs::{Outputs, log_softmax, row_weights};

/// Stacking weights: two numbers that combine the log-probabilities of an n-gram classifier with those of an early
/// exit.
///
/// The score of a class is a·ln p(n-gram) + b·ln p(exit), and the softmax of the scores gives probabilities. There is
/// no bias for each class, so that the weights stay valid for other class frequencies. In multi-label tasks, the same
/// two weights combine the log-odds of each label. Fitted weights are not negative.
///
/// # Examples
/// Equal weights give the normalised geometric mean of the probabilities, here √(0.9 · 0.2) : √(0.1 · 0.8) = 3 : 2:
///
/// ```
/// use dht_dynamic::{LogProbabilities, exit::Stacker};
///
/// // One text with two classes.
/// let table = |p: f64| LogProbabilities::new(2, vec![p.ln(), (1.0 - p).ln()]);
/// let stacked = Stacker::halves().stack(&table(0.9)?, &table(0.2)?)?;
/// assert!((stacked.row(0)[0].exp() - 0.6).abs() < 1e-12);
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stacker {
    /// Weight a of the n-gram classifier's log-probabilities.
    pub ngram: f64,
    /// Weight b of the exit's log-probabilities.
    pub exit: f64,
}

/// Convergence tolerance of the stacking fit: gradient norm of the mean objective.
const TOLERANCE: f64 = 1e-9;
/// Maximum number of optimiser steps in the stacking fit.
const MOST_STEPS: u64 = 200;

/// Objective of the stacking fit, whose variables are the weights a and b: Σᵢ vᵢ·lossᵢ + ½‖(a, b) − (½, ½)‖², divided
/// by the number of rows, where v are the row weights.
struct StackedLoss<'a> {
    tables: [&'a LogProbabilities; 2],
    labels: &'a [u32],
    /// Weight of each row's loss; `None` for weights of 1.
    row_weights: Option<&'a [f64]>,
    /// True for each weight that is fitted. Other weights keep their start values.
    free: [bool; 2],
}

impl Function for StackedLoss<'_> {
    fn flops(&self) -> u64 {
        // Two multiply-adds for the scores, and two for the gradient.
        8 * self.tables[0].values().len() as u64
    }

    fn value_and_gradient(&self, at: &[f64]) -> Result<(f64, Vec<f64>)> {
        let [ngram, exit] = self.tables;
        let (mut value, mut gradient) = (0.0, vec![0.0; 2]);
        let rows = ngram.decisions().zip(exit.decisions()).zip(self.labels);
        for (row, ((ngram, exit), label)) in rows.enumerate() {
            let weight = self.row_weights.map_or(1.0, |weights| weights[row]);
            let mut scores: Vec<f64> =
                ngram.iter().zip(exit).map(|(ngram, exit)| at[0] * ngram + at[1] * exit).collect();
            log_softmax(&mut scores);
            value -= weight * scores[*label as usize];
            for (class, log) in scores.iter().enumerate() {
                let residual = weight * (log.exp() - if class == *label as usize { 1.0 } else { 0.0 });
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
    /// Creates equal weights of ½, for use when there are no held-out rows to fit on.
    pub fn halves() -> Self {
        Self { ngram: 0.5, exit: 0.5 }
    }

    /// Fits the weights on rows that neither the n-gram classifier nor the exit has learned from.
    ///
    /// The weights a and b minimise Σᵢ lossᵢ + ½‖(a, b) − (½, ½)‖² under a, b ≥ 0 (Breiman 1996, "Stacked
    /// regressions"). The penalty keeps the weights finite even if every row can be predicted correctly. Without rows,
    /// the weights are [`halves`](Self::halves).
    ///
    /// Negative weights are ruled out because of an artefact of cross-fitting: a class that is frequent among the
    /// out-of-fold rows is rare among the rows of the fit. On out-of-fold rows, a model that has learned nothing is
    /// therefore wrong more often than by chance. A negative weight would exploit this artefact.
    ///
    /// # Errors
    /// * [`Error::Shape`] if the tables have different shapes, or if the number of labels is not one per text (or one
    ///   per text and label in multi-label tasks).
    /// * [`Error::Range`] if a label is not a class index.
    ///
    /// # Examples
    /// Weights of an n-gram classifier that predicts no better than chance, and of a better exit:
    ///
    /// ```
    /// use dht_dynamic::{LogProbabilities, exit::Stacker};
    ///
    /// // Four texts with two classes; the argument holds the probability of class 0 for each text.
    /// let table = |rows: [f64; 4]| {
    ///     LogProbabilities::new(2, rows.iter().flat_map(|p| [p.ln(), (1.0 - p).ln()]).collect())
    /// };
    /// let (ngram, exit) = (table([0.5; 4])?, table([0.9, 0.1, 0.9, 0.1])?);
    /// let stacker = Stacker::fit(&ngram, &exit, &[0, 1, 0, 1])?;
    /// assert!(stacker.exit > stacker.ngram);
    /// # Ok::<(), dht_dynamic::Error>(())
    /// ```
    pub fn fit(ngram: &LogProbabilities, exit: &LogProbabilities, labels: &[u32]) -> Result<Self> {
        Ok(Self::fit_counted(ngram, exit, labels)?.0)
    }

    /// Fits the weights as [`fit`](Self::fit) does, and also returns the FLOPs of the fit.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_counted(ngram: &LogProbabilities, exit: &LogProbabilities, labels: &[u32]) -> Result<(Self, u64)> {
        Self::fit_weighted(ngram, exit, labels, None)
    }

    /// Fits the weights as [`fit_counted`](Self::fit_counted) does, and multiplies the loss of each row by its
    /// [weight](row_weights), which follows from the weights of the classes.
    pub(crate) fn fit_weighted(
        ngram: &LogProbabilities,
        exit: &LogProbabilities,
        labels: &[u32],
        class_weights: Option<&[f32]>,
    ) -> Result<(Self, u64)> {
        check_alike(ngram, exit)?;
        if labels.len() != ngram.decisions().len() {
            return Err(Error::shape(
                "labels",
                format!("{}, one for each decision", ngram.decisions().len()),
                labels.len(),
            ));
        }
        if let Some(label) = labels.iter().find(|label| **label as usize >= ngram.outputs().alternatives()) {
            return Err(Error::Range { what: "label", got: *label as usize, below: ngram.outputs().alternatives() });
        }
        let halves = Self::halves();
        if labels.is_empty() {
            return Ok((halves, 0));
        }
        let of_rows = row_weights(labels, class_weights);
        let row_weights = of_rows.as_deref();
        let mut flops = 0;
        let mut fit_free = |free: [bool; 2]| {
            let loss = StackedLoss { tables: [ngram, exit], labels, row_weights, free };
            let start = free.map(|free| if free { 0.5 } else { 0.0 });
            let minimum = minimize(&loss, start.to_vec(), TOLERANCE, MOST_STEPS)?;
            flops += minimum.flops;
            let [ngram, exit] = [minimum.at[0], minimum.at[1]];
            Ok::<_, Error>((Self { ngram, exit }, loss))
        };
        let (mut best, _) = fit_free([true, true])?;
        if best.ngram < 0.0 || best.exit < 0.0 {
            // The objective is convex: its minimum under the constraint is on the border, where one weight is 0.
            let mut least = f64::INFINITY;
            for free in [[true, false], [false, true]] {
                let (fitted, loss) = fit_free(free)?;
                let candidate = Self { ngram: fitted.ngram.max(0.0), exit: fitted.exit.max(0.0) };
                let value = loss.value_and_gradient(&[candidate.ngram, candidate.exit])?.0;
                if value < least {
                    (best, least) = (candidate, value);
                }
            }
        }
        Ok((best, flops))
    }

    /// Combines the log-probabilities of the n-gram classifier and an exit for every row.
    ///
    /// # Errors
    /// * [`Error::Shape`] if the tables have different shapes.
    /// * [`Error::Argument`] if a weight is not finite.
    pub fn stack(&self, ngram: &LogProbabilities, exit: &LogProbabilities) -> Result<LogProbabilities> {
        check_alike(ngram, exit)?;
        let (outputs, mut values) = (ngram.outputs(), Vec::with_capacity(ngram.values().len()));
        for (ngram, exit) in ngram.rows().zip(exit.rows()) {
            values.append(&mut self.stack_row(outputs, ngram, exit));
        }
        LogProbabilities::of(outputs, values)
    }

    /// Combines the log-probabilities that the n-gram classifier and an exit predict for one text.
    pub(crate) fn stack_row(&self, outputs: Outputs, ngram: &[f64], exit: &[f64]) -> Vec<f64> {
        let mut scores: Vec<f64> =
            ngram.iter().zip(exit).map(|(ngram, exit)| self.ngram * ngram + self.exit * exit).collect();
        scores.chunks_exact_mut(outputs.alternatives()).for_each(log_softmax);
        scores
    }

    /// FLOPs of combining two predictions for one text: two multiply-adds for each class or label.
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
