//! Confusion matrix of true and predicted classes.

use crate::data::EncodedDataset;
use crate::error::{Error, Result, same_length};

/// Confusion matrix: for each true class and each predicted class, the number of samples.
///
/// # Examples
/// ```
/// use dht_transformer::train::metrics::Confusion;
///
/// let confusion = Confusion::from_labels(2, &[0, 0, 1, 1], &[0, 1, 1, 1])?;
/// assert_eq!(confusion.accuracy(), 0.75);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// Number of samples for each true class (rows) and predicted class (columns), in row-major order.
    counts: Vec<u64>,
}

impl Confusion {
    /// Creates a matrix without samples.
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// Counts the samples of two lists, which have the true and the predicted class of each sample.
    ///
    /// # Errors
    /// [`Error::Shape`] if the lists differ in length, [`Error::Argument`] if a class is not below `classes`.
    pub fn from_labels(classes: usize, truth: &[usize], predicted: &[usize]) -> Result<Self> {
        same_length("predicted", truth.len(), predicted.len())?;
        let mut confusion = Self::new(classes);
        for (&truth, &predicted) in truth.iter().zip(predicted) {
            confusion.record(truth, predicted)?;
        }
        Ok(confusion)
    }

    /// Counts the predicted class of each row of a data set against its label.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of predictions differs from the number of rows; [`Error::Argument`] for a class
    /// that the data set does not have.
    pub fn from_predictions(data: &EncodedDataset, predicted: &[u32]) -> Result<Self> {
        let truth: Vec<usize> = data.samples.iter().map(|sample| sample.label as usize).collect();
        let predicted: Vec<usize> = predicted.iter().map(|label| *label as usize).collect();
        Self::from_labels(data.labels.len(), &truth, &predicted)
    }

    /// Adds one sample with its true and its predicted class.
    ///
    /// # Errors
    /// [`Error::Argument`] if a class is not below the number of classes. In this case nothing is added.
    pub fn record(&mut self, truth: usize, predicted: usize) -> Result<()> {
        check_class("truth", truth, self.classes)?;
        check_class("predicted", predicted, self.classes)?;
        self.counts[truth * self.classes + predicted] += 1;
        Ok(())
    }

    /// Adds the counts of another matrix.
    ///
    /// # Errors
    /// [`Error::Shape`] if the other matrix has another number of classes.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        same_length("classes", self.classes, other.classes)?;
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        Ok(())
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of samples of the class `truth` that were predicted as `predicted`; 0 for an unknown class.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        if truth.max(predicted) < self.classes { self.counts[truth * self.classes + predicted] } else { 0 }
    }

    /// Total number of samples.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn correct(&self) -> u64 {
        (0..self.classes).map(|class| self.count(class, class)).sum()
    }

    fn support(&self, class: usize) -> u64 {
        (0..self.classes).map(|predicted| self.count(class, predicted)).sum()
    }

    fn predictions(&self, class: usize) -> u64 {
        (0..self.classes).map(|truth| self.count(truth, class)).sum()
    }

    /// Accuracy: fraction of correct predictions; 0 without samples.
    pub fn accuracy(&self) -> f64 {
        ratio(self.correct() as f64, self.total() as f64)
    }

    /// F1 score of one class, 2 TP / (2 TP + FP + FN). `None` if no sample has the class or is predicted to have it.
    pub fn f1(&self, class: usize) -> Option<f64> {
        let either = self.support(class) + self.predictions(class);
        (either > 0).then(|| 2.0 * self.count(class, class) as f64 / either as f64)
    }

    /// Macro F1: the mean of [`Confusion::f1`] over the classes that are true or predicted for a sample; 0 without
    /// samples.
    ///
    /// This is scikit-learn's `f1_score(average="macro", zero_division=0)` without `labels`: a class that is neither
    /// true nor predicted is excluded from the mean, and a class that is only true or only predicted counts as 0.
    pub fn macro_f1(&self) -> f64 {
        let (mut sum, mut present) = (0.0, 0.0);
        for f1 in (0..self.classes).filter_map(|class| self.f1(class)) {
            sum += f1;
            present += 1.0;
        }
        ratio(sum, present)
    }

    /// Matthews correlation coefficient (1975), generalised to several classes as R_K of Gorodkin (2004):
    ///
    /// (c s − Σ pₖ tₖ) / √((s² − Σ pₖ²)(s² − Σ tₖ²))
    ///
    /// Here s is the number of samples, and c the number of correct predictions. tₖ samples have the class k, and pₖ
    /// are predicted to have it. The coefficient is in [−1, 1]. As in scikit-learn's `matthews_corrcoef`, it is 0 if
    /// all samples have the same true class, or the same predicted class.
    pub fn matthews(&self) -> f64 {
        let total = i128::from(self.total());
        let (mut cross, mut predicted_squares, mut true_squares) = (0, 0, 0);
        for class in 0..self.classes {
            let (truth, predicted) = (i128::from(self.support(class)), i128::from(self.predictions(class)));
            cross += truth * predicted;
            predicted_squares += predicted * predicted;
            true_squares += truth * truth;
        }
        // Exact up to here: in floating point the two differences would cancel for nearly constant predictions.
        let covariance = (i128::from(self.correct()) * total - cross) as f64;
        let spread =
            ((total * total - predicted_squares) as f64).sqrt() * ((total * total - true_squares) as f64).sqrt();
        ratio(covariance, spread)
    }
}

/// Ratio of two counts. It is 0 if both are 0, so that an evaluation without samples scores 0.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

fn check_class(what: &'static str, class: usize, classes: usize) -> Result<()> {
    if class < classes { Ok(()) } else { Err(Error::Range { what, got: class, below: classes }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use proptest::prelude::*;

    fn naive_macro_f1(truth: &[usize], predicted: &[usize]) -> f64 {
        let mut classes: Vec<usize> = truth.iter().chain(predicted).copied().collect();
        classes.sort_unstable();
        classes.dedup();
        let pairs = || truth.iter().zip(predicted);
        let scores = classes.iter().map(|&class| {
            let hits = pairs().filter(|&(&t, &p)| t == class && p == class).count() as f64;
            let precision = hits / (predicted.iter().filter(|&&p| p == class).count() as f64).max(1.0);
            let recall = hits / (truth.iter().filter(|&&t| t == class).count() as f64).max(1.0);
            if hits == 0.0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) }
        });
        scores.sum::<f64>() / classes.len().max(1) as f64
    }

    /// Reference implementation of the Matthews correlation coefficient: the Pearson correlation of one-hot codes,
    /// which is Gorodkin's definition of R_K.
    fn naive_matthews(classes: usize, truth: &[usize], predicted: &[usize]) -> f64 {
        let samples = truth.len() as f64;
        let covariance = |left: &[usize], right: &[usize]| -> f64 {
            (0..classes)
                .map(|class| {
                    let share = |labels: &[usize]| labels.iter().filter(|&&l| l == class).count() as f64 / samples;
                    let (mean_left, mean_right) = (share(left), share(right));
                    left.iter()
                        .zip(right)
                        .map(|(&l, &r)| {
                            (f64::from(l == class) - mean_left) * (f64::from(r == class) - mean_right) / samples
                        })
                        .sum::<f64>()
                })
                .sum()
        };
        let spread = (covariance(truth, truth) * covariance(predicted, predicted)).sqrt();
        if spread < 1e-12 { 0.0 } else { covariance(truth, predicted) / spread }
    }

    fn labels() -> impl Strategy<Value = (usize, Vec<usize>, Vec<usize>)> {
        (1_usize..6, 1_usize..60).prop_flat_map(|(classes, samples)| {
            let side = || proptest::collection::vec(0..classes, samples);
            (Just(classes), side(), side())
        })
    }

    proptest! {
        #[test]
        fn the_scores_equal_their_naive_formulas((classes, truth, predicted) in labels()) {
            let confusion = Confusion::from_labels(classes, &truth, &predicted).unwrap();
            let right = truth.iter().zip(&predicted).filter(|(t, p)| t == p).count();
            prop_assert!((confusion.accuracy() - right as f64 / truth.len() as f64).abs() < 1e-15);
            prop_assert!((confusion.macro_f1() - naive_macro_f1(&truth, &predicted)).abs() < 1e-12);
            prop_assert!((confusion.matthews() - naive_matthews(classes, &truth, &predicted)).abs() < 1e-9);
        }

        #[test]
        fn merged_halves_equal_the_whole((classes, truth, predicted) in labels(), cut in 0.0..1.0) {
            let cut = (cut * truth.len() as f64) as usize;
            let mut merged = Confusion::from_labels(classes, &truth[..cut], &predicted[..cut]).unwrap();
            merged.merge(&Confusion::from_labels(classes, &truth[cut..], &predicted[cut..]).unwrap()).unwrap();
            prop_assert_eq!(merged, Confusion::from_labels(classes, &truth, &predicted).unwrap());
        }
    }

    #[test]
    fn the_examples_of_scikit_learn_come_out() {
        // The documentation of f1_score and matthews_corrcoef.
        let confusion = Confusion::from_labels(3, &[0, 1, 2, 0, 1, 2], &[0, 2, 1, 0, 0, 1]).unwrap();
        assert_abs_diff_eq!(confusion.macro_f1(), 0.8 / 3.0, epsilon = 1e-12);
        let confusion = Confusion::from_labels(2, &[1, 1, 1, 0], &[1, 0, 1, 1]).unwrap();
        assert_abs_diff_eq!(confusion.matthews(), -1.0 / 3.0, epsilon = 1e-12);
    }

    #[test]
    fn absent_classes_do_not_count_but_one_sided_ones_have_f1_zero() {
        let absent = Confusion::from_labels(3, &[0, 0, 1], &[0, 0, 1]).unwrap();
        assert_eq!((absent.f1(2), absent.macro_f1()), (None, 1.0));
        let one_sided = Confusion::from_labels(3, &[0, 0, 1], &[0, 0, 2]).unwrap();
        assert_eq!((one_sided.f1(2), one_sided.f1(1)), (Some(0.0), Some(0.0)));
        assert_abs_diff_eq!(one_sided.macro_f1(), 1.0 / 3.0, epsilon = 1e-15);
    }

    #[test]
    fn a_class_that_is_not_there_has_no_samples() {
        let confusion = Confusion::from_labels(2, &[0, 0, 1], &[0, 1, 1]).unwrap();
        assert_eq!(
            [(0, 1), (0, 2), (0, 3), (2, 0), (7, 7)].map(|(truth, got)| confusion.count(truth, got)),
            [1, 0, 0, 0, 0]
        );
        assert_eq!((confusion.f1(1).is_some(), confusion.f1(2)), (true, None));
    }

    #[test]
    fn an_empty_count_scores_zero_and_not_nan() {
        let empty = Confusion::new(4);
        assert_eq!((empty.accuracy(), empty.macro_f1(), empty.matthews()), (0.0, 0.0, 0.0));
    }

    #[test]
    fn bad_labels_are_refused_and_change_nothing() {
        let mut confusion = Confusion::new(2);
        assert!(matches!(confusion.record(2, 0), Err(Error::Range { what: "truth", got: 2, .. })));
        assert!(matches!(confusion.record(0, 2), Err(Error::Range { what: "predicted", got: 2, .. })));
        assert!(confusion.merge(&Confusion::new(3)).is_err());
        assert_eq!(confusion, Confusion::new(2));
        assert!(matches!(Confusion::from_labels(2, &[0], &[]), Err(Error::Shape { .. })));
    }
}
