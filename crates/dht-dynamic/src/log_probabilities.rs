//! Log-probabilities of classes for many texts.

use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, TextClassifier, tensors::log_softmax};

use crate::error::{Error, Result};

/// Log-probabilities of each class for each row, in nats. Shape: (rows, classes).
#[derive(Debug, Clone, PartialEq)]
pub struct LogProbabilities {
    classes: usize,
    values: Vec<f64>,
}

impl LogProbabilities {
    /// Builds a table from values in row-major order.
    ///
    /// # Errors
    /// [`Error::Argument`] for no class, for values that do not fill whole rows, and for values that are not finite or
    /// above 0.
    pub fn new(classes: usize, values: Vec<f64>) -> Result<Self> {
        if classes == 0 {
            return Err(Error::argument("classes", "at least 1", classes));
        }
        if !values.len().is_multiple_of(classes) {
            return Err(Error::shape("log-probabilities", format!("whole rows of {classes}"), values.len()));
        }
        // A rounding error above 0 is accepted.
        match values.iter().find(|value| !(value.is_finite() && **value <= 1e-6)) {
            Some(value) => Err(Error::argument("log-probabilities", "finite numbers, at most 0", value)),
            None => Ok(Self { classes, values }),
        }
    }

    /// Computes a classifier's log-probabilities for every row of a data set.
    ///
    /// # Errors
    /// Errors of the encoder, including the error for a batch size of 0.
    pub fn of_classifier(classifier: &TextClassifier, data: &EncodedDataset, batch_size: usize) -> Result<Self> {
        let classes = classifier.classifier().classes();
        let (mut values, ctx) = (vec![0.0; data.len() * classes], ForwardContext::inference());
        for rows in PackedBatch::longest_first(&data.lengths(), batch_size)? {
            let batch: Vec<Vec<f32>> = log_softmax(&classifier.logits(&data.batch(&rows)?, &ctx)?)?.to_vec2()?;
            for (row, logs) in rows.iter().zip(batch) {
                values[row * classes..(row + 1) * classes]
                    .iter_mut()
                    .zip(logs)
                    .for_each(|(value, log)| *value = f64::from(log));
            }
        }
        Self::new(classes, values)
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.classes
    }

    /// Returns whether the table has no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The log-probabilities of each row. Shape of each: (classes).
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.classes)
    }

    /// The log-probabilities of a row. Shape: (classes).
    ///
    /// # Panics
    /// When the row does not exist.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.classes..(row + 1) * self.classes]
    }

    /// Returns the given rows, in this order.
    ///
    /// # Panics
    /// When a row does not exist.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let of_row = |row: &usize| self.values[row * self.classes..(row + 1) * self.classes].iter().copied();
        Self { classes: self.classes, values: rows.iter().flat_map(of_row).collect() }
    }

    /// The most probable class of each row, the first in a tie.
    pub fn labels(&self) -> Vec<u32> {
        self.rows().map(|row| best_class(row).0).collect()
    }

    /// For each row, the probability of its most probable class minus that of another answer.
    pub(crate) fn regrets(&self, answers: &[u32]) -> Vec<f64> {
        let regret = |(row, answer): (&[f64], &u32)| best_class(row).1.exp() - row[*answer as usize].exp();
        self.rows().zip(answers).map(regret).collect()
    }

    /// Mean negative log-likelihood of the labels, in nats; 0 without rows.
    ///
    /// # Panics
    /// When a label is not a class.
    pub fn mean_loss(&self, labels: &[u32]) -> f64 {
        let losses = self.rows().zip(labels).map(|(row, label)| -row[*label as usize]);
        losses.sum::<f64>() / self.len().max(1) as f64
    }

    /// The fraction of rows whose most probable class is their label; 0 without rows.
    pub fn accuracy(&self, labels: &[u32]) -> f64 {
        let right = self.labels().iter().zip(labels).filter(|(found, label)| found == label).count();
        right as f64 / self.len().max(1) as f64
    }

    /// Expected calibration error (Guo et al. 2017). Rows fall into `bins` equal intervals of the largest probability;
    /// the error is Σ over bins of (rows in the bin / rows)·|accuracy − mean largest probability|. 0 without rows.
    ///
    /// # Panics
    /// When `bins` is 0.
    pub fn calibration_error(&self, labels: &[u32], bins: usize) -> f64 {
        let mut sums = vec![0.0; bins];
        for (row, label) in self.rows().zip(labels) {
            let (class, log) = best_class(row);
            let probability = log.exp();
            let bin = ((probability * bins as f64) as usize).min(bins - 1);
            sums[bin] += if class == *label { 1.0 } else { 0.0 } - probability;
        }
        sums.into_iter().map(f64::abs).sum::<f64>() / self.len().max(1) as f64
    }

    /// The values of the table, row after row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The probabilities of each row.
    pub fn probabilities(&self) -> Vec<Vec<f32>> {
        self.rows().map(|row| row.iter().map(|log| log.exp() as f32).collect()).collect()
    }
}

/// The first class with the highest log-probability, and that log-probability.
pub(crate) fn best_class(row: &[f64]) -> (u32, f64) {
    let mut best = (0, f64::NEG_INFINITY);
    for (class, log) in (0..).zip(row) {
        if *log > best.1 {
            best = (class, *log);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calibration_error_of_known_rows() {
        let table = |rows: &[f64]| {
            LogProbabilities::new(2, rows.iter().flat_map(|p| [p.ln(), (1.0 - p).ln()]).collect()).unwrap()
        };
        // Half of the rows of .9 and all of .6 are right: ½·|.5 − .9| + ½·|1 − .6|.
        let error = table(&[0.9, 0.9, 0.6, 0.6]).calibration_error(&[0, 1, 0, 0], 10);
        assert!((error - 0.4).abs() < 1e-12, "{error}");
        // Nine of ten rows of .9 are right.
        let error = table(&[0.9; 10]).calibration_error(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 10);
        assert!(error.abs() < 1e-12, "{error}");
    }
}
