//! Metrics of multi-label predictions, computed from counts for each label.

use super::label_thresholds::LabelThresholds;
use crate::error::{Error, Result, same_length};

/// Numbers of true positives, false positives and false negatives for each label, from which metrics are computed.
///
/// # Examples
/// ```
/// use dht_transformer::train::metrics::LabelCounts;
///
/// let truth = [vec![1.0, 0.0], vec![1.0, 1.0]];
/// let counts = LabelCounts::from_probabilities(&truth, &[vec![0.9, 0.6], vec![0.8, 0.7]], 0.5)?;
/// assert_eq!((counts.micro_f1(), counts.exact()), (6.0 / 7.0, 0.5));
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelCounts {
    /// Numbers of true positives, false positives and false negatives for each label.
    labels: Vec<[u64; 3]>,
    samples: u64,
    exact: u64,
}

impl LabelCounts {
    /// Counts predictions of labels. A label is predicted if its probability is at least `threshold`. `truth` is 1 for
    /// the labels that a sample has, and 0 for others.
    ///
    /// # Errors
    /// [`Error::Shape`] if truth and predictions differ in the number of samples or labels, [`Error::Argument`] for a
    /// threshold outside (0, 1).
    pub fn from_probabilities(truth: &[Vec<f32>], probabilities: &[Vec<f32>], threshold: f32) -> Result<Self> {
        if !(threshold > 0.0 && threshold < 1.0) {
            return Err(Error::argument("threshold", "above 0 and below 1", threshold.to_string()));
        }
        let least = vec![threshold; truth.first().map_or(0, Vec::len)];
        Self::of_thresholds(truth, probabilities, &LabelThresholds { least, never_empty: false })
    }

    /// Counts predictions of labels, which `thresholds` derives from the probabilities. `truth` is 1 for the labels
    /// that a sample has, and 0 for others.
    ///
    /// # Errors
    /// [`Error::Shape`] if truth and predictions differ in the number of samples or labels.
    pub fn of_thresholds(truth: &[Vec<f32>], probabilities: &[Vec<f32>], thresholds: &LabelThresholds) -> Result<Self> {
        same_length("probabilities", truth.len(), probabilities.len())?;
        let labels = truth.first().map_or(0, Vec::len);
        let mut counts = Self { labels: vec![[0; 3]; labels], samples: truth.len() as u64, exact: 0 };
        for (truth, probabilities) in truth.iter().zip(probabilities) {
            same_length("truth", labels, truth.len())?;
            same_length("probabilities", labels, probabilities.len())?;
            let applying = thresholds.applying(probabilities);
            let mut exact = true;
            for (label, (count, truth)) in counts.labels.iter_mut().zip(truth).enumerate() {
                let (has, predicted) = (*truth >= 0.5, applying.contains(&label));
                match (has, predicted) {
                    (true, true) => count[0] += 1,
                    (false, true) => count[1] += 1,
                    (true, false) => count[2] += 1,
                    (false, false) => {}
                }
                exact &= has == predicted;
            }
            counts.exact += u64::from(exact);
        }
        Ok(counts)
    }

    /// F1 score of one label, 2 TP / (2 TP + FP + FN). It is 0 if no sample has the label or is predicted to have it,
    /// or if the label does not exist.
    pub fn f1(&self, label: usize) -> f64 {
        self.labels.get(label).copied().map_or(0.0, f1)
    }

    /// Micro F1: the F1 score of the counts that are summed over all labels.
    pub fn micro_f1(&self) -> f64 {
        let sum = |which: usize| self.labels.iter().map(|counts| counts[which]).sum();
        f1([sum(0), sum(1), sum(2)])
    }

    /// Macro F1: the mean of [`f1`](Self::f1) over all labels, as in scikit-learn's `f1_score(average="macro",
    /// zero_division=0)`.
    pub fn macro_f1(&self) -> f64 {
        self.labels.iter().copied().map(f1).sum::<f64>() / self.labels.len().max(1) as f64
    }

    /// Exact match ratio: the fraction of samples whose predicted labels equal the true labels.
    pub fn exact(&self) -> f64 {
        self.exact as f64 / self.samples.max(1) as f64
    }
}

fn f1([right, wrong, left_out]: [u64; 3]) -> f64 {
    if right == 0 { 0.0 } else { (2 * right) as f64 / (2 * right + wrong + left_out) as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    fn rows(rows: &[[u8; 3]]) -> Vec<Vec<f32>> {
        rows.iter().map(|row| row.map(f32::from).to_vec()).collect()
    }

    #[test]
    fn the_numbers_of_scikit_learn_come_out() {
        // f1_score(truth, predicted, average="micro" | "macro", zero_division=0) and accuracy_score of these.
        let truth = rows(&[[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]]);
        let predicted = rows(&[[1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 1, 0]]);
        let counts = LabelCounts::from_probabilities(&truth, &predicted, 0.5).unwrap();
        assert_abs_diff_eq!(counts.micro_f1(), 2.0 / 3.0, epsilon = 1e-12);
        assert_abs_diff_eq!(counts.macro_f1(), (0.5 + 0.8 + 0.0) / 3.0, epsilon = 1e-12);
        assert_eq!((counts.f1(2), counts.exact()), (0.0, 0.25));
        assert_eq!(counts.f1(3), 0.0);
    }

    #[test]
    fn the_threshold_is_where_a_label_begins_to_be_given() {
        let truth = rows(&[[1, 1, 1]]);
        let at = |threshold| LabelCounts::from_probabilities(&truth, &[vec![0.2, 0.5, 0.8]], threshold).unwrap();
        assert_eq!(
            [0.1, 0.5, 0.6, 0.9].map(|threshold| at(threshold).labels.iter().map(|c| c[0]).sum::<u64>()),
            [3, 2, 1, 0]
        );
        for bad in [0.0, 1.0, f32::NAN] {
            assert!(LabelCounts::from_probabilities(&truth, &truth, bad).is_err());
        }
        assert!(LabelCounts::from_probabilities(&truth, &[], 0.5).is_err());
        assert!(LabelCounts::from_probabilities(&truth, &[vec![1.0]], 0.5).is_err());
    }
}
