//! Linear models with a convex loss: logistic regression and ridge regression.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::matrix::FeatureMatrix;
use super::minimize::{Function, Minimum, minimize};
use super::scaling::Scaling;
use super::standardisation::Standardisation;
use crate::error::{Error, Result};
use crate::outputs::{log_softmax, row_weights};

/// Largest gradient norm of the mean objective with which a fit is accepted.
const LONGEST_GRADIENT: f64 = 1e-1;
/// Maximum number of L-BFGS steps in a fit.
const MOST_STEPS: u64 = 1_000;

/// Settings of the fit of a [`LinearModel`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct FitSettings<'a> {
    /// Inverse penalty C: weight of the loss relative to the penalty ½‖W‖².
    pub(crate) c: f64,
    /// Gradient norm below which the fit stops. It is the norm of the mean objective's gradient with respect to the
    /// scaled weights. The mean objective is scikit-learn's objective divided by C·n, for inverse penalty C and n rows.
    /// Its curvature in the scaled weights is about 1, so the result is at most about ½·tolerance² above the minimum.
    pub(crate) tolerance: f64,
    /// Weight of each row's loss; `None` for weights of 1.
    pub(crate) row_weights: Option<&'a [f64]>,
}

/// Linear model with the scores x·W + b for features x, weights W and bias b. The type of [targets](RowTargets)
/// determines the loss.
///
/// For classes, W and b minimise C·Σᵢ −Σⱼ tᵢⱼ·ln softmax(xᵢ·W + b)ⱼ + ½‖W‖², where tᵢ is the one-hot label or the soft
/// label of row i. This is the objective of scikit-learn's `LogisticRegression`; the bias has no penalty. (With two
/// classes, scikit-learn fits a single column of weights, which is the difference between the two columns of W. The
/// same classifier then has twice the value of C in scikit-learn.) For several labels, the loss of row i is the sum of
/// the labels' binary cross-entropies, which amounts to one logistic regression for each label. For numbers, the loss
/// is ½(xᵢ·w + b − tᵢ)², with the target tᵢ: ridge regression with α = 1/C.
///
/// [Row weights](FitSettings::row_weights) multiply the losses of the rows. A row with the weight 2 thus counts as two
/// equal rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinearModel {
    /// Weights W, shape (features, classes), in row-major order.
    weights: Vec<f32>,
    /// Bias b, shape (classes,).
    bias: Vec<f32>,
}

/// Training targets of all rows, for one of four tasks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RowTargets<'a> {
    /// Class index of each row.
    Classes(&'a [u32]),
    /// Log-probability of each class (soft labels), shape (rows, classes).
    Soft(&'a [f64]),
    /// Multi-label targets, shape (rows, labels): 1 for each label that applies, 0 for the others.
    Labels(&'a [f32]),
    /// Numeric target of each row, for regression.
    Numbers(&'a [f32]),
}

impl RowTargets<'_> {
    /// [Weights](row_weights) of the rows with the indices `rows`, from the weights of their classes. Returns `None`
    /// without class weights, and if the targets are not classes.
    pub(crate) fn row_weights(self, rows: &[usize], class_weights: Option<&[f32]>) -> Option<Vec<f64>> {
        let Self::Classes(labels) = self else { return None };
        let labels: Vec<u32> = rows.iter().map(|row| labels[*row]).collect();
        row_weights(&labels, class_weights)
    }

    fn rows(self, classes: usize) -> usize {
        match self {
            Self::Classes(labels) => labels.len(),
            Self::Soft(logs) => logs.len() / classes.max(1),
            Self::Labels(targets) => targets.len() / classes.max(1),
            Self::Numbers(targets) => targets.len(),
        }
    }

    /// Minimum number of outputs of a model that is fitted to these targets.
    fn least_outputs(self) -> usize {
        match self {
            Self::Classes(_) | Self::Soft(_) => 2,
            Self::Labels(_) | Self::Numbers(_) => 1,
        }
    }

    /// Second derivative of a row's loss with respect to one score, taken where all classes are equally probable, or
    /// where a label has a probability of ½.
    fn curvature(self, classes: usize) -> f64 {
        let share = match self {
            Self::Classes(_) | Self::Soft(_) => 1.0 / classes as f64,
            Self::Labels(_) => 0.5,
            Self::Numbers(_) => return 1.0,
        };
        share * (1.0 - share)
    }

    /// Returns the loss of one row, and replaces its scores in `logs` by the gradient with respect to them. For classes
    /// and labels, this gradient is the probabilities minus the targets.
    fn loss(self, row: usize, logs: &mut [f64]) -> f64 {
        match self {
            Self::Classes(labels) => {
                log_softmax(logs);
                let label = labels[row] as usize;
                let loss = -logs[label];
                logs.iter_mut().for_each(|log| *log = log.exp());
                logs[label] -= 1.0;
                loss
            }
            Self::Labels(targets) => {
                let targets = &targets[row * logs.len()..];
                let mut loss = 0.0;
                for (score, target) in logs.iter_mut().zip(targets) {
                    let target = f64::from(*target);
                    // The loss ln(1 + eˢ) − t·s and its derivative.
                    loss += score.max(0.0) + (-score.abs()).exp().ln_1p() - target * *score;
                    *score = 1.0 / (1.0 + (-*score).exp()) - target;
                }
                loss
            }
            Self::Numbers(targets) => {
                let mut loss = 0.0;
                for score in logs {
                    *score -= f64::from(targets[row]);
                    loss += 0.5 * *score * *score;
                }
                loss
            }
            Self::Soft(targets) => {
                log_softmax(logs);
                let targets = &targets[row * logs.len()..(row + 1) * logs.len()];
                let mut loss = 0.0;
                for (log, target) in logs.iter_mut().zip(targets) {
                    let target = target.exp();
                    loss -= target * *log;
                    *log = log.exp() - target;
                }
                loss
            }
        }
    }

    /// Rejects targets that do not match the number of rows or classes.
    fn check(self, rows: usize, classes: usize) -> Result<()> {
        let got = self.rows(classes);
        if got == 0 || got != rows {
            return Err(Error::shape("labels", format!("{rows}, one a row, at least 1"), got));
        }
        match self {
            Self::Classes(labels) => match labels.iter().find(|label| **label as usize >= classes) {
                Some(label) => Err(Error::Range { what: "label", got: *label as usize, below: classes }),
                None => Ok(()),
            },
            Self::Soft(logs) => match logs.iter().find(|log| !(log.is_finite() && **log <= 1e-6)) {
                Some(log) => Err(Error::argument("soft labels", "log-probabilities", log)),
                None => Ok(()),
            },
            Self::Labels(targets) => match targets.iter().find(|target| !(0.0..=1.0).contains(*target)) {
                Some(target) => Err(Error::argument("labels", "0 or 1", target)),
                None => Ok(()),
            },
            Self::Numbers(targets) => match targets.iter().find(|target| !target.is_finite()) {
                Some(target) => Err(Error::argument("numbers", "finite numbers", target)),
                None => Ok(()),
            },
        }
    }
}

/// Objective of a regression fit: (1/n)·Σᵢ vᵢ·lossᵢ + ½‖W‖²/(C·n), for n rows with weights v and inverse penalty C. Its
/// argument is the weights W followed by the biases b, in the variables of a [`Scaling`].
///
/// Scaling equalises the curvature. Without it, the curvature for frequent n-grams and the bias is a thousand times the
/// curvature for rare n-grams, and a fit takes three times as many steps. For dense features, the curvature differs as
/// much between directions.
struct PenalisedLoss<'a> {
    features: &'a FeatureMatrix,
    targets: RowTargets<'a>,
    /// Weight of each row's loss; `None` for weights of 1.
    row_weights: Option<&'a [f64]>,
    classes: usize,
    c: f64,
    scaling: Scaling,
}

impl<'a> PenalisedLoss<'a> {
    /// Creates the objective of a fit, with row weights of 1. Also returns the FLOPs of computing its scaling.
    fn new(
        features: &'a FeatureMatrix,
        targets: RowTargets<'a>,
        classes: usize,
        c: f64,
        moments: &mut Option<Vec<f64>>,
    ) -> Result<(Self, u64)> {
        let curvature = targets.curvature(classes);
        let penalty = 1.0 / (c * features.rows() as f64);
        let (scaling, flops) = Scaling::new(features, classes, curvature, penalty, moments)?;
        Ok((Self { features, targets, row_weights: None, classes, c, scaling }, flops))
    }
}

impl Function for PenalisedLoss<'_> {
    /// FLOPs of one evaluation: scores, gradient and scaling. Penalty and softmax are excluded, since they need no
    /// matrix product.
    fn flops(&self) -> u64 {
        2 * self.features.flops(self.classes) + self.scaling.flops(self.classes)
    }

    fn value_and_gradient(&self, at: &[f64]) -> Result<(f64, Vec<f64>)> {
        let classes = self.classes;
        let at = self.scaling.weights(at, classes);
        let (weights, bias) = at.split_at(self.features.columns() * classes);
        let rows = self.features.rows() as f64;
        let penalty = 1.0 / (self.c * rows);
        let mut scores = self.features.times(weights, classes)?;
        let losses: Vec<f64> = scores
            .par_chunks_mut(classes)
            .with_min_len(64)
            .enumerate()
            .map(|(row, scores)| {
                scores.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
                let weight = self.row_weights.map_or(1.0, |weights| weights[row]);
                let loss = weight * self.targets.loss(row, scores);
                // The scores become the gradient of the mean loss, v·(p − t)/n for a row with the weight v.
                scores.iter_mut().for_each(|residual| *residual = weight * *residual / rows);
                loss
            })
            .collect();
        let squares: f64 = weights.iter().map(|weight| weight * weight).sum();
        let mut gradient = self.features.transposed_times(&scores, classes)?;
        gradient.iter_mut().zip(weights).for_each(|(gradient, weight)| *gradient += penalty * weight);
        let mut of_bias = vec![0.0; classes];
        for row in scores.chunks_exact(classes) {
            of_bias.iter_mut().zip(row).for_each(|(sum, residual)| *sum += residual);
        }
        gradient.extend(of_bias);
        let value = losses.iter().sum::<f64>() / rows + 0.5 * penalty * squares;
        Ok((value, self.scaling.gradient(gradient, classes)))
    }
}

impl LinearModel {
    /// Fits the model to rows of features and their targets. The optimiser starts at `start`, the minimum of an earlier
    /// fit with the same number of weights, or at zero. Also returns the new minimum, as a start for the next fit.
    ///
    /// # Errors
    /// [`Error::Argument`] in these cases:
    /// * There are no rows, or the number of labels or of row weights differs from the number of rows.
    /// * A label is not a class, or there are fewer than two classes.
    /// * The inverse penalty C is not a positive number, or a feature is not finite.
    /// * The fit stops far from the minimum.
    pub(crate) fn fit(
        features: &FeatureMatrix,
        targets: RowTargets<'_>,
        classes: usize,
        settings: FitSettings<'_>,
        start: Option<Minimum>,
    ) -> Result<(Self, Minimum)> {
        let FitSettings { c, tolerance, row_weights } = settings;
        if classes < targets.least_outputs() {
            return Err(Error::argument("classes", format!("at least {}", targets.least_outputs()), classes));
        }
        targets.check(features.rows(), classes)?;
        if let Some(weights) = row_weights.filter(|weights| weights.len() != features.rows()) {
            return Err(Error::shape("row weights", format!("{}, one a row", features.rows()), weights.len()));
        }
        if !(c.is_finite() && c > 0.0) {
            return Err(Error::argument("C", "a positive number", c));
        }
        if !features.is_finite() {
            return Err(Error::argument("features", "finite numbers", "NaN or infinity"));
        }
        let size = (features.columns() + 1) * classes;
        let (start, mut moments) = start.map_or((None, None), |start| (Some(start.at), start.moments));
        let (loss, preparation) = PenalisedLoss::new(features, targets, classes, c, &mut moments)?;
        let loss = PenalisedLoss { row_weights, ..loss };
        let start = start.filter(|at| at.len() == size).map(|at| loss.scaling.variables(&at, classes));
        let mut minimum = minimize(&loss, start.unwrap_or_else(|| vec![0.0; size]), tolerance, MOST_STEPS)?;
        minimum.at = loss.scaling.weights(&minimum.at, classes);
        minimum.flops += preparation;
        minimum.moments = moments;
        if minimum.gradient_norm > tolerance.max(LONGEST_GRADIENT) {
            return Err(Error::argument(
                "gradient after L-BFGS",
                format!("shorter than {tolerance}"),
                minimum.gradient_norm,
            ));
        }
        let (weights, bias) = minimum.at.split_at(features.columns() * classes);
        let narrow = |values: &[f64]| values.iter().map(|value| *value as f32).collect();
        Ok((Self { weights: narrow(weights), bias: narrow(bias) }, minimum))
    }

    /// Converts a model for standardised features to an equivalent model for raw features.
    pub(crate) fn unscaled(&self, scaling: &Standardisation) -> Self {
        let mut shifted: Vec<f64> = self.bias.iter().copied().map(f64::from).collect();
        let mut folded = Vec::with_capacity(self.weights.len());
        for (row, (mean, inverse)) in self.weights.chunks_exact(self.bias.len()).zip(scaling.columns()) {
            for (bias, weight) in shifted.iter_mut().zip(row) {
                let weight = f64::from(*weight) * inverse;
                *bias -= weight * mean;
                folded.push(weight as f32);
            }
        }
        Self { weights: folded, bias: shifted.into_iter().map(|bias| bias as f32).collect() }
    }

    /// Returns the weights, shape (features, classes), and the bias, shape (classes,).
    pub(crate) fn into_parameters(self) -> (Vec<f32>, Vec<f32>) {
        (self.weights, self.bias)
    }

    pub(crate) fn classes(&self) -> usize {
        self.bias.len()
    }

    /// Returns whether the weights are finite and have the expected shape. A model from a file may violate this.
    pub(crate) fn fits(&self, classes: usize, features: usize) -> bool {
        let finite = self.weights.iter().chain(&self.bias).all(|weight| weight.is_finite());
        finite && self.bias.len() == classes && self.weights.len() == features * classes
    }

    /// Computes the scores of all rows of a feature matrix, in row-major order.
    ///
    /// # Errors
    /// [`Io`](dht_transformer::Error::Io) if the rows are in a file that cannot be read.
    pub(crate) fn scores_of(&self, features: &FeatureMatrix) -> Result<Vec<f64>> {
        let weights: Vec<f64> = self.weights.iter().copied().map(f64::from).collect();
        let mut scores = features.times(&weights, self.classes())?;
        for row in scores.chunks_exact_mut(self.classes()) {
            row.iter_mut().zip(&self.bias).for_each(|(score, bias)| *score += f64::from(*bias));
        }
        Ok(scores)
    }

    /// Mean loss over the rows of a feature matrix, without the penalty.
    ///
    /// # Errors
    /// [`Io`](dht_transformer::Error::Io) if the rows are in a file that cannot be read.
    pub(crate) fn mean_loss(&self, features: &FeatureMatrix, targets: RowTargets<'_>) -> Result<f64> {
        let mut scores = self.scores_of(features)?;
        let rows = scores.chunks_exact_mut(self.classes()).enumerate();
        Ok(rows.map(|(row, scores)| targets.loss(row, scores)).sum::<f64>() / features.rows().max(1) as f64)
    }

    /// Computes the scores of one sparse row, a list of pairs of a feature index and a non-zero value.
    pub(crate) fn scores(&self, row: &[(u32, f32)]) -> Vec<f64> {
        let classes = self.classes();
        let mut scores: Vec<f64> = self.bias.iter().copied().map(f64::from).collect();
        for (feature, value) in row {
            let at = *feature as usize * classes;
            let (value, weights) = (f64::from(*value), &self.weights[at..at + classes]);
            super::matrix::count(classes);
            scores.iter_mut().zip(weights).for_each(|(score, weight)| *score += value * f64::from(*weight));
        }
        scores
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
