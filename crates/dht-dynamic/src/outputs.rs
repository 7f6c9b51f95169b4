//! Type of a model's predictions (one class, or several labels), and conversion of logits to log-probabilities.

use std::fmt;

use candle_core::{DType, Tensor};
use dht_transformer::{EncodedDataset, Sample, Task, tensors};

use crate::error::{Error, Result};

/// Type of a model's predictions: one of several classes, or any subset of several labels.
///
/// Each prediction consists of *decisions*, which have a probability distribution over their *alternatives*. A class is
/// a single decision among all classes. Each label is a decision between "no" (0) and "yes" (1), independent of the
/// other labels.
///
/// # Examples
/// ```
/// use dht_dynamic::Outputs;
///
/// let (classes, labels) = (Outputs::Classes(5), Outputs::Labels(5));
/// assert_eq!((classes.decisions(), classes.alternatives()), (1, 5));
/// assert_eq!((labels.decisions(), labels.alternatives()), (5, 2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// One class out of this number of classes.
    Classes(usize),
    /// Any subset of this number of labels.
    Labels(usize),
}

impl fmt::Display for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Classes(count) => write!(f, "{count} classes"),
            Self::Labels(count) => write!(f, "{count} labels"),
        }
    }
}

impl From<usize> for Outputs {
    fn from(classes: usize) -> Self {
        Self::Classes(classes)
    }
}

impl Outputs {
    /// Builds the outputs of a classifier from its task and its number of logits.
    ///
    /// # Errors
    /// [`Error::Argument`] if the task is a regression; [`Error::Transformer`] if the task cannot have this number of
    /// outputs.
    pub fn new(task: Task, count: usize) -> Result<Self> {
        task.check(count)?;
        match task {
            Task::Class => Ok(Self::Classes(count)),
            Task::Labels => Ok(Self::Labels(count)),
            Task::Number => Err(Error::argument("classifier", "one of classes or of several labels", "a regression")),
        }
    }

    /// Type of outputs in a data set: multi-label if any text has multi-label targets, otherwise one class per text.
    pub(crate) fn of_texts(texts: &EncodedDataset) -> Self {
        let has_targets = texts.samples.iter().any(|sample| !sample.targets.is_empty());
        if has_targets { Self::Labels(texts.labels.len()) } else { Self::Classes(texts.labels.len()) }
    }

    /// Task of a classifier with these outputs.
    pub fn task(self) -> Task {
        match self {
            Self::Classes(_) => Task::Class,
            Self::Labels(_) => Task::Labels,
        }
    }

    /// Number of classes or labels, which is also the number of logits for a text.
    pub fn count(self) -> usize {
        match self {
            Self::Classes(count) | Self::Labels(count) => count,
        }
    }

    /// Number of decisions for a text: 1 for classes, otherwise one for each label.
    pub fn decisions(self) -> usize {
        match self {
            Self::Classes(_) => 1,
            Self::Labels(count) => count,
        }
    }

    /// Number of alternatives in a decision: the number of classes, or 2 for a label.
    pub fn alternatives(self) -> usize {
        match self {
            Self::Classes(count) => count,
            Self::Labels(_) => 2,
        }
    }

    /// Number of log-probabilities per text: decisions times alternatives.
    pub fn width(self) -> usize {
        self.decisions() * self.alternatives()
    }

    /// Converts the logits of a batch, shape (texts, outputs), to one list of log-probabilities for each text.
    /// `samples` are the ids of the texts, for error messages.
    pub(crate) fn of_logits(self, logits: &Tensor, samples: &[u64]) -> Result<Vec<Vec<f64>>> {
        let rows = match self {
            Self::Classes(_) => tensors::finite_rows(&tensors::log_softmax(&logits.detach())?, samples)?,
            Self::Labels(_) => tensors::finite_rows(&logits.detach().to_dtype(DType::F32)?, samples)?,
        };
        let wide = |row: Vec<f32>| row.into_iter().map(f64::from).collect();
        let of_row = |row| match self {
            Self::Classes(_) => wide(row),
            Self::Labels(_) => self.of_scores(wide(row)),
        };
        Ok(rows.into_iter().map(of_row).collect())
    }

    /// Converts logits to log-probabilities. `scores` has the logits of one or more rows, concatenated.
    pub(crate) fn of_scores(self, mut scores: Vec<f64>) -> Vec<f64> {
        match self {
            Self::Classes(count) => {
                scores.chunks_exact_mut(count).for_each(log_softmax);
                scores
            }
            // ln σ(−s) and ln σ(s).
            Self::Labels(_) => scores.into_iter().flat_map(|score| [-softplus(score), -softplus(-score)]).collect(),
        }
    }

    /// Computes the probability of each class or label from the log-probabilities of one text.
    pub(crate) fn probabilities(self, logs: &[f64]) -> impl Iterator<Item = f64> {
        let (first, step) = match self {
            Self::Classes(_) => (0, 1),
            Self::Labels(_) => (1, 2),
        };
        logs.iter().skip(first).step_by(step).map(|log| log.exp())
    }

    /// Accuracy of predicted classes, or for multi-label tasks the micro F1, 2·TP / (2·TP + FP + FN). Both slices have
    /// one class index per text, or one 0 or 1 per text and label. The score is 0 if they are empty.
    pub(crate) fn score(self, answers: &[u32], truth: &[u32]) -> f64 {
        let right = answers.iter().zip(truth).filter(|(answer, truth)| answer == truth).count();
        match self {
            Self::Classes(_) => right as f64 / truth.len().max(1) as f64,
            Self::Labels(_) => f1(answers, truth).unwrap_or(0.0),
        }
    }
}

/// Converts scores (logits) to log-probabilities, in place.
pub(crate) fn log_softmax(scores: &mut [f64]) {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| (score - most).exp()).sum();
    let shift = most + sum.ln();
    scores.iter_mut().for_each(|score| *score -= shift);
}

/// Softplus function ln(1 + eˣ).
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// F1 score of binary decisions, 2·TP / (2·TP + FP + FN); `None` if all predictions and all true values are 0.
pub(crate) fn f1(answers: &[u32], truth: &[u32]) -> Option<f64> {
    let (mut both, mut sum) = (0, 0);
    for (answer, truth) in answers.iter().zip(truth) {
        both += answer * truth;
        sum += answer + truth;
    }
    (sum > 0).then(|| 2.0 * f64::from(both) / f64::from(sum))
}

/// True labels of all texts, concatenated: the class index of each text, or for multi-label texts a 0 or 1 for each
/// label.
pub(crate) fn truth_of(texts: &EncodedDataset) -> Vec<u32> {
    let of_text = |sample: &Sample| match sample.targets.is_empty() {
        true => vec![sample.label],
        false => sample.targets.iter().map(|target| u32::from(*target >= 0.5)).collect(),
    };
    texts.samples.iter().flat_map(of_text).collect()
}

/// Weight of each row in a fit or a loss: the weight of its class, divided by the mean of these weights over the rows.
/// Returns `None` without class weights. `labels` has the class index of each row.
///
/// Row weights have a mean of 1, so that only the ratios of class weights matter. Class weights of 1 give row weights
/// of exactly 1.
pub(crate) fn row_weights(labels: &[u32], class_weights: Option<&[f32]>) -> Option<Vec<f64>> {
    let class_weights = class_weights?;
    let mean = mean_weight(labels, class_weights);
    Some(labels.iter().map(|label| f64::from(class_weights[*label as usize]) / mean).collect())
}

/// Divides class weights by their mean over the rows with these labels. A mean of weighted losses over any of the rows
/// then has the size of a mean loss.
pub(crate) fn normalised_weights(labels: &[u32], class_weights: &[f32]) -> Vec<f32> {
    let mean = mean_weight(labels, class_weights);
    class_weights.iter().map(|weight| (f64::from(*weight) / mean) as f32).collect()
}

fn mean_weight(labels: &[u32], class_weights: &[f32]) -> f64 {
    let sum: f64 = labels.iter().map(|label| f64::from(class_weights[*label as usize])).sum();
    sum / labels.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_weights_have_a_mean_of_1() {
        assert_eq!(row_weights(&[0, 1, 1], None), None);
        assert_eq!(row_weights(&[0, 0, 1], Some(&[1.0, 4.0])), Some(vec![0.5, 0.5, 2.0]));
        let equal = row_weights(&[0, 2, 1, 1, 2, 0, 0], Some(&[0.3; 3])).unwrap();
        assert!(equal.iter().all(|weight| (weight - 1.0).abs() < 1e-15), "{equal:?}");
        assert_eq!(row_weights(&[0, 2, 1, 1, 2, 0, 0], Some(&[1.0; 3])), Some(vec![1.0; 7]));
    }

    #[test]
    fn labels_have_a_sigmoid_each_that_keeps_small_chances() {
        let logs = Outputs::Labels(3).of_scores(vec![0.0, 40.0, -800.0]);
        assert_eq!(logs.len(), 6);
        assert!((logs[0] - 0.5_f64.ln()).abs() < 1e-15 && logs[0] == logs[1]);
        assert!((logs[2] + 40.0).abs() < 1e-12 && (logs[3] + (-40.0_f64).exp()).abs() < 1e-30);
        assert_eq!([logs[4], logs[5]], [0.0, -800.0]);
        let p: Vec<f64> = Outputs::Labels(3).probabilities(&logs).collect();
        assert!(p[0] == 0.5 && p[1] == 1.0 && p[2] == 0.0, "{p:?}");
    }

    #[test]
    fn the_score_of_labels_is_the_micro_f1() {
        // Two texts with two labels: one right, one too many, one missing.
        let (answers, truth) = ([1, 1, 0, 0], [1, 0, 0, 1]);
        assert_eq!(Outputs::Labels(2).score(&answers, &truth), 0.5);
        assert_eq!(Outputs::Classes(2).score(&answers, &truth), 0.5);
        assert_eq!(Outputs::Labels(2).score(&[0, 0], &[0, 0]), 0.0);
        assert_eq!(f1(&[0, 0], &[0, 0]), None);
    }
}
