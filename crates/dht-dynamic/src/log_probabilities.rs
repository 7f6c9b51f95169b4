//! Table of predicted log-probabilities for many texts, and their scores.

use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, TextClassifier};

use crate::error::{Error, Result};
use crate::number_levels::NumberLevels;
use crate::outputs::{Outputs, row_weights};

/// Table of predicted log-probabilities in nats, with one row for each text. A row has the log-probability of each
/// class, or in a multi-label task those of "no" and "yes" for each label. Shape: (rows, decisions × alternatives), see
/// [`Outputs`].
///
/// # Examples
/// ```
/// use dht_dynamic::LogProbabilities;
///
/// let probabilities: [f64; 4] = [0.9, 0.1, 0.3, 0.7]; // two rows, two classes
/// let table = LogProbabilities::new(2, probabilities.map(f64::ln).to_vec())?;
/// assert_eq!(table.labels(), [0, 1]);
/// assert_eq!(table.accuracy(&[0, 0]), 0.5);
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LogProbabilities {
    outputs: Outputs,
    values: Vec<f64>,
}

impl LogProbabilities {
    /// Builds a table for classes from log-probabilities in row-major order.
    ///
    /// # Errors
    /// * [`Error::Argument`] if there is no class, or a value is not finite or is above 0.
    /// * [`Error::Shape`] if the values do not fill whole rows.
    pub fn new(classes: usize, values: Vec<f64>) -> Result<Self> {
        Self::of(Outputs::Classes(classes), values)
    }

    /// Builds a table for classes or labels from log-probabilities in row-major order.
    ///
    /// # Errors
    /// * [`Error::Argument`] if there is no class or label, or a value is not finite or is above 0.
    /// * [`Error::Shape`] if the values do not fill whole rows.
    pub fn of(outputs: Outputs, values: Vec<f64>) -> Result<Self> {
        let (classes, width) = (outputs.count(), outputs.width());
        if classes == 0 {
            return Err(Error::argument("classes", "at least 1", classes));
        }
        if !values.len().is_multiple_of(width) {
            return Err(Error::shape("log-probabilities", format!("whole rows of {width}"), values.len()));
        }
        // A rounding error above 0 is accepted.
        match values.iter().find(|value| !(value.is_finite() && **value <= 1e-6)) {
            Some(value) => Err(Error::argument("log-probabilities", "finite numbers, at most 0", value)),
            None => Ok(Self { outputs, values }),
        }
    }

    /// Computes a classifier's log-probabilities for every row of a data set.
    ///
    /// # Errors
    /// * [`Error::Argument`] if the classifier is a regression.
    /// * [`Error::Transformer`] if the encoder fails, for example because the batch size is 0.
    pub fn of_classifier(classifier: &TextClassifier, data: &EncodedDataset, batch_size: usize) -> Result<Self> {
        let outputs = Outputs::new(classifier.task(), classifier.classifier().classes())?;
        let (mut collector, ctx) = (LogProbabilityRows::new(outputs, data.len()), ForwardContext::inference());
        for rows in PackedBatch::longest_first(&data.lengths(), batch_size)? {
            let batch = data.batch(&rows)?;
            collector.set(&rows, outputs.of_logits(&classifier.logits(&batch, &ctx)?, &batch.sample_ids)?);
        }
        collector.table()
    }

    /// Type and number of the predicted outputs: classes, of which a text has one, or independent labels.
    pub fn outputs(&self) -> Outputs {
        self.outputs
    }

    /// Number of classes or labels.
    pub fn classes(&self) -> usize {
        self.outputs.count()
    }

    /// Number of rows, one for each text.
    pub fn len(&self) -> usize {
        self.values.len() / self.outputs.width()
    }

    /// Returns whether the table has no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Iterates over the rows, each of shape (decisions × alternatives,).
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.outputs.width())
    }

    /// Iterates over the decisions of all rows, as slices of shape (alternatives,). A decision is the choice of a
    /// class, or between "no" and "yes" for a label.
    pub fn decisions(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.outputs.alternatives())
    }

    /// Log-probabilities of one row, shape (decisions × alternatives,).
    ///
    /// # Panics
    /// If the row does not exist.
    pub fn row(&self, row: usize) -> &[f64] {
        let width = self.outputs.width();
        &self.values[row * width..(row + 1) * width]
    }

    /// Selects some rows of the table. `rows` has their indices, in the order of the result.
    ///
    /// # Panics
    /// If a row does not exist.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        Self { outputs: self.outputs, values: rows.iter().flat_map(|row| self.row(*row)).copied().collect() }
    }

    /// Predicted labels: the most probable class of each row, or 0 or 1 for each label of each row. In a tie, the first
    /// class is returned, and a label applies.
    pub fn labels(&self) -> Vec<u32> {
        match self.outputs {
            Outputs::Classes(_) => self.decisions().map(|logs| best_class(logs).0).collect(),
            Outputs::Labels(_) => self.decisions().map(|logs| u32::from(logs[1] >= logs[0])).collect(),
        }
    }

    /// Expected loss of accuracy of each row if `answers`, the labels that another model predicts, replace the row's
    /// most probable labels.
    ///
    /// For classes, the loss is the probability of the most probable class minus the probability of the class in
    /// `answers`. For multi-label rows, this difference is summed over the labels. The sum is divided by the number of
    /// predicted plus expected labels per row, averaged over the rows. The result is capped at 1. Its mean over the
    /// rows is the loss of micro F1 to first order, since F1 = 1 − errors / (predicted labels + true labels).
    pub(crate) fn regrets(&self, answers: &[u32]) -> Vec<f64> {
        let regret = |(logs, answer): (&[f64], &u32)| best_class(logs).1.exp() - logs[*answer as usize].exp();
        let of_decisions = self.decisions().zip(answers).map(regret);
        if let Outputs::Classes(_) = self.outputs {
            return of_decisions.collect();
        }
        let expected: f64 = self.decisions().map(|logs| f64::from(best_class(logs).0) + logs[1].exp()).sum();
        let of_row = expected.max(1.0) / self.len().max(1) as f64;
        let of_decisions: Vec<f64> = of_decisions.collect();
        let rows = of_decisions.chunks_exact(self.outputs.decisions());
        rows.map(|row| (row.iter().sum::<f64>() / of_row).min(1.0)).collect()
    }

    /// Predicted number of each row, if the labels are the cuts between `levels`.
    pub(crate) fn numbers(&self, levels: &NumberLevels) -> Vec<f32> {
        (0..self.len()).map(|row| levels.number(&self.probabilities_of(row))).collect()
    }

    /// Expected loss of each row if `numbers`, which another model predicts, replace the row's own number. The labels
    /// are the cuts between `levels`.
    ///
    /// The loss is the increase of the expected squared error, E\[(Y − a)²\] − E\[(Y − b)²\], divided by `variance`.
    /// Here a is the number in `numbers`, b the row's own number, and Y a number with the row's predictive
    /// distribution. With its mean μ, the increase is (a − μ)² − (b − μ)². If `variance` is the variance of the true
    /// numbers, the mean loss is the loss of R², since R² = 1 − mean squared error / variance. If `variance` is 0, all
    /// losses are infinite: R² does not exist.
    pub(crate) fn number_regrets(&self, numbers: &[f32], levels: &NumberLevels, variance: f64) -> Vec<f64> {
        let regret = |(row, number): (usize, &f32)| {
            let probabilities = self.probabilities_of(row);
            let mean = f64::from(levels.mean(&probabilities));
            let error = |number: f32| (f64::from(number) - mean).powi(2);
            let increase = error(*number) - error(levels.number(&probabilities));
            if variance > 0.0 { increase / variance } else { f64::INFINITY }
        };
        numbers.iter().enumerate().map(regret).collect()
    }

    /// Expected loss of weighted accuracy of each row, if `answers` replace the row's most probable classes and the
    /// table's model was fitted with class weights. Without class weights, equals [`regrets`](Self::regrets).
    ///
    /// The model's probabilities are qₖ = wₖ·pₖ / Σⱼ wⱼ·pⱼ, with class weights w and the probabilities p at the class
    /// frequencies of the texts. The expected weight of a row is therefore Σⱼ wⱼ·pⱼ = 1 / Σⱼ qⱼ/wⱼ. The row's regret is
    /// multiplied by this weight, divided by its mean over the rows.
    pub(crate) fn weighted_regrets(&self, answers: &[u32], class_weights: Option<&[f32]>) -> Vec<f64> {
        let regrets = self.regrets(answers);
        let Some(weights) = class_weights else { return regrets };
        let expected_weight = |logs: &[f64]| {
            let inverse: f64 = logs.iter().zip(weights).map(|(log, weight)| log.exp() / f64::from(*weight)).sum();
            1.0 / inverse
        };
        let of_rows: Vec<f64> = self.decisions().map(expected_weight).collect();
        let mean = of_rows.iter().sum::<f64>() / of_rows.len().max(1) as f64;
        regrets.into_iter().zip(of_rows).map(|(regret, weight)| regret * weight / mean).collect()
    }

    /// Mean negative log-likelihood of the true labels over all decisions, in nats; 0 without rows. A decision is the
    /// choice of a class, or between "no" and "yes" for a label.
    ///
    /// # Panics
    /// If a label is out of range.
    pub fn mean_loss(&self, labels: &[u32]) -> f64 {
        let losses = self.decisions().zip(labels).map(|(logs, label)| -logs[*label as usize]);
        losses.sum::<f64>() / self.decisions().len().max(1) as f64
    }

    /// Weighted mean of the negative log-likelihood of the true classes, in nats: Σ w(class)·loss / Σ w(class), both
    /// sums over the rows. Without class weights, equals [`mean_loss`](Self::mean_loss).
    pub(crate) fn weighted_loss(&self, labels: &[u32], class_weights: Option<&[f32]>) -> f64 {
        let Some(weights) = row_weights(labels, class_weights) else { return self.mean_loss(labels) };
        let losses = self.decisions().zip(labels).zip(weights);
        let losses = losses.map(|((logs, label), weight)| weight * -logs[*label as usize]);
        losses.sum::<f64>() / self.decisions().len().max(1) as f64
    }

    /// Negative log-likelihood of each row's true labels, in nats. For multi-label rows, the mean over the labels.
    pub(crate) fn losses(&self, labels: &[u32]) -> Vec<f64> {
        let losses: Vec<f64> = self.decisions().zip(labels).map(|(logs, label)| -logs[*label as usize]).collect();
        let decisions = self.outputs.decisions();
        losses.chunks_exact(decisions).map(|row| row.iter().sum::<f64>() / decisions as f64).collect()
    }

    /// Fraction of decisions that are predicted correctly; 0 without rows. A decision is the choice of a class, or
    /// between "no" and "yes" for a label.
    pub fn accuracy(&self, labels: &[u32]) -> f64 {
        Outputs::Classes(self.outputs.alternatives()).score(&self.labels(), labels)
    }

    /// Accuracy of the predicted classes. In a multi-label task, the micro F1, where a label is predicted to apply if
    /// its probability is at least one half.
    pub fn score(&self, labels: &[u32]) -> f64 {
        self.outputs.score(&self.labels(), labels)
    }

    /// Expected calibration error (Guo et al. 2017). Decisions are binned by their largest probability into `bins`
    /// equal intervals. The error is Σ over bins of (decisions in the bin / decisions)·|accuracy − mean largest
    /// probability|. 0 without rows.
    ///
    /// # Panics
    /// If `bins` is 0.
    pub fn calibration_error(&self, labels: &[u32], bins: usize) -> f64 {
        self.weighted_calibration_error(labels, bins, None)
    }

    /// [Expected calibration error](Self::calibration_error), in which each row counts by the weight of its class.
    pub(crate) fn weighted_calibration_error(&self, labels: &[u32], bins: usize, class_weights: Option<&[f32]>) -> f64 {
        let weights = row_weights(labels, class_weights);
        let mut sums = vec![0.0; bins];
        for (row, (logs, label)) in self.decisions().zip(labels).enumerate() {
            let (class, log) = best_class(logs);
            let probability = log.exp();
            let bin = ((probability * bins as f64) as usize).min(bins - 1);
            let is_right = if class == *label { 1.0 } else { 0.0 };
            sums[bin] += weights.as_ref().map_or(1.0, |weights| weights[row]) * (is_right - probability);
        }
        sums.into_iter().map(f64::abs).sum::<f64>() / self.decisions().len().max(1) as f64
    }

    /// All log-probabilities of the table in row-major order.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Predicted probability of each class or label, by row.
    pub fn probabilities(&self) -> Vec<Vec<f32>> {
        (0..self.len()).map(|row| self.probabilities_of(row)).collect()
    }

    /// Predicted probability of each class or label in one row.
    ///
    /// # Panics
    /// If the row does not exist.
    pub fn probabilities_of(&self, row: usize) -> Vec<f32> {
        self.outputs.probabilities(self.row(row)).map(|p| p as f32).collect()
    }
}

/// Builder of a log-probability table. The rows may be set in any order.
pub(crate) struct LogProbabilityRows {
    outputs: Outputs,
    values: Vec<f64>,
}

impl LogProbabilityRows {
    pub(crate) fn new(outputs: Outputs, rows: usize) -> Self {
        Self { outputs, values: vec![0.0; rows * outputs.width()] }
    }

    pub(crate) fn set(&mut self, rows: &[usize], logs: Vec<Vec<f64>>) {
        let width = self.outputs.width();
        for (row, logs) in rows.iter().zip(logs) {
            self.values[row * width..(row + 1) * width].copy_from_slice(&logs);
        }
    }

    pub(crate) fn table(self) -> Result<LogProbabilities> {
        LogProbabilities::of(self.outputs, self.values)
    }
}

/// Index of the largest log-probability (the first in a tie), and its value.
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

    #[test]
    fn weighted_scores_are_those_of_repeated_rows() {
        let table = |rows: &[usize]| {
            let all: [[f64; 2]; 3] = [[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]];
            LogProbabilities::new(2, rows.iter().flat_map(|row| all[*row].map(f64::ln)).collect()).unwrap()
        };
        let (once, labels) = (table(&[0, 1, 2]), [0, 1, 1]);
        // Rows of class 1 three times.
        let (repeated, all_labels) = (table(&[0, 1, 1, 1, 2, 2, 2]), [0, 1, 1, 1, 1, 1, 1]);
        let weights = Some(&[1.0, 3.0][..]);
        assert!((once.weighted_loss(&labels, weights) - repeated.mean_loss(&all_labels)).abs() < 1e-12);
        let error = once.weighted_calibration_error(&labels, 10, weights);
        assert!((error - repeated.calibration_error(&all_labels, 10)).abs() < 1e-12);
        for equal in [None, Some(&[1.0, 1.0][..])] {
            assert_eq!(once.weighted_loss(&labels, equal).to_bits(), once.mean_loss(&labels).to_bits());
            let error = once.weighted_calibration_error(&labels, 10, equal);
            assert_eq!(error.to_bits(), once.calibration_error(&labels, 10).to_bits());
        }
    }

    #[test]
    fn weighted_regrets_are_losses_of_weighted_accuracy() {
        // With weights of 1 and 4, q = .5 is p = .8 and .2 at the frequencies of the texts.
        let q: [[f64; 2]; 2] = [[0.5, 0.5], [0.9, 0.1]];
        let weights = [1.0, 4.0];
        let logs: Vec<f64> = q.iter().flatten().map(|q| q.ln()).collect();
        let table = LogProbabilities::new(2, logs).unwrap();
        let p = q.map(|row| {
            let sum: f64 = row.iter().zip(weights).map(|(q, w)| q / w).sum();
            [row[0] / weights[0] / sum, row[1] / weights[1] / sum]
        });
        let gain = |row: usize, answer: usize| weights[answer] * p[row][answer];
        let total: f64 = (0..2).map(|row| gain(row, 0) + gain(row, 1)).sum::<f64>() / 2.0;
        let regrets = table.weighted_regrets(&[1, 1], Some(&[1.0, 4.0]));
        assert!((regrets[0] - (gain(0, 0) - gain(0, 1)) / total).abs() < 1e-12, "{regrets:?}");
        assert!((regrets[1] - (gain(1, 0) - gain(1, 1)) / total).abs() < 1e-12, "{regrets:?}");
        assert_eq!(table.weighted_regrets(&[1, 1], None), table.regrets(&[1, 1]));
    }

    #[test]
    fn the_regret_of_labels_is_the_expected_loss_of_micro_f1() {
        // Two texts with two labels: .9 and .2, .6 and .3.
        let p: [f64; 4] = [0.9, 0.2, 0.6, 0.3];
        let values = p.iter().flat_map(|p| [(1.0 - p).ln(), p.ln()]).collect();
        let table = LogProbabilities::of(Outputs::Labels(2), values).unwrap();
        assert_eq!(table.labels(), [1, 0, 1, 0]);
        assert_eq!(table.regrets(&table.labels()), [0.0, 0.0]);
        // Two labels are predicted and two expected, on two texts. Omitting the label of .6 loses .6 − .4.
        let regrets = table.regrets(&[1, 0, 0, 0]);
        assert!(regrets[0] == 0.0 && (regrets[1] - 0.2 / 2.0).abs() < 1e-12, "{regrets:?}");
        let loss = table.mean_loss(&[1, 1, 0, 0]);
        let expected = -(0.9_f64.ln() + 0.2_f64.ln() + 0.4_f64.ln() + 0.7_f64.ln()) / 4.0;
        assert!((loss - expected).abs() < 1e-12);
        assert_eq!(table.probabilities()[1].len(), 2);
        assert!((table.losses(&[1, 1, 0, 0]).iter().sum::<f64>() / 2.0 - expected).abs() < 1e-12);
    }

    #[test]
    fn the_regret_of_a_number_is_its_expected_squared_error() -> Result<()> {
        // Levels 1, 2, 4 and 8, and three rows with the probability of each level.
        let values: [f64; 4] = [1.0, 2.0, 4.0, 8.0];
        let rows: [[f64; 4]; 3] = [[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]];
        let above = |row: &[f64; 4]| [row[1] + row[2] + row[3], row[2] + row[3], row[3]];
        let logs = rows.iter().flat_map(above).flat_map(|p| [(1.0 - p).ln(), p.ln()]).collect();
        let (table, others) = (LogProbabilities::of(Outputs::Labels(3), logs)?, [3.0_f32, 8.0, 2.0]);
        for rating in [false, true] {
            let levels = NumberLevels::fit(&[1.0, 2.0, 4.0, 8.0], rating)?;
            let own = table.numbers(&levels);
            let regrets = table.number_regrets(&others, &levels, 2.5);
            for (row, chances) in rows.iter().enumerate() {
                let mut expected = 0.0_f64;
                for (value, chance) in values.iter().zip(chances) {
                    let error = |number: f32| (value - f64::from(number)).powi(2);
                    expected += chance * (error(others[row]) - error(own[row])) / 2.5;
                }
                assert!((regrets[row] - expected).abs() < 1e-4, "{} is not {expected}", regrets[row]);
            }
            assert_eq!(table.number_regrets(&own, &levels, 2.5), [0.0; 3]);
            assert!(table.number_regrets(&own, &levels, 0.0).iter().all(|regret| regret.is_infinite()));
        }
        Ok(())
    }
}
