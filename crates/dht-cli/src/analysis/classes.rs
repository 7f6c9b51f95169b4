//! Analysis of a classifier's answers, with one class for each text.

use std::collections::BTreeMap;

use dht_dynamic::transformer::{Dataset, EncodedDataset};
use serde::Serialize;

use super::calibration::Calibration;
use super::coverage::{CoveragePoint, coverage};
use super::estimate::{Counts, Estimate, Event};
use super::parts::{RowGroup, Scores};
use super::row_text::RowText;
use crate::results::Answers;

/// Maximum number of wrong answers that an analysis lists.
pub const ERRORS: usize = 30;

/// Precision, recall and F1 of a class or label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassScore {
    /// Name of the class.
    pub name: String,
    /// Number of scored rows with this class (its support).
    pub rows: usize,
    /// Number of rows for which the class is predicted.
    pub predicted: usize,
    /// Precision: share of the predictions of this class that are right; `None` if the class is never predicted.
    pub precision: Option<Estimate>,
    /// Recall: share of the rows with this class that are predicted right; `None` if no row has the class.
    pub recall: Option<Estimate>,
    /// Harmonic mean of precision and recall; `None` if no row has the class and no answer predicts it.
    pub f1: Option<Estimate>,
}

impl ClassScore {
    /// Computes the scores of classes from their counts.
    pub fn of_counts(names: &[String], counts: &[Counts]) -> Vec<Self> {
        let score = |(name, counts): (&String, &Counts)| Self {
            name: name.clone(),
            rows: counts.rows(),
            predicted: counts.predicted(),
            precision: Estimate::share(counts.both, counts.predicted()),
            recall: Estimate::share(counts.both, counts.rows()),
            f1: Estimate::f1(counts),
        };
        names.iter().zip(counts).map(score).collect()
    }
}

/// Cell of a confusion matrix: a true class and a predicted class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfusionCell {
    /// True class of the rows.
    pub label: String,
    /// Predicted class of the rows.
    pub predicted: String,
    /// Number of rows with this true and this predicted class.
    pub rows: usize,
}

/// Row for which the model predicts a wrong class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WrongAnswer {
    /// Text of the row.
    #[serde(flatten)]
    pub text: RowText,
    /// True class.
    pub label: String,
    /// Predicted class.
    pub predicted: String,
    /// Probability of the predicted class.
    pub probability: f32,
}

/// Analysis of a classifier's answers, with one class for each text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassAnalysis {
    /// Share of right answers.
    pub accuracy: Option<Estimate>,
    /// Mean F1 over the classes that occur among the rows or the answers.
    pub macro_f1: Estimate,
    /// Scores of each class, in the model's order of classes.
    pub classes: Vec<ClassScore>,
    /// Non-zero cells of the confusion matrix: errors first, each group in descending order of the number of rows.
    pub confusion: Vec<ConfusionCell>,
    /// Wrong answers with the highest predicted probabilities.
    pub surest_errors: Vec<WrongAnswer>,
    /// Accuracy of the answers with the highest probabilities, at several shares of the rows.
    pub coverage: Vec<CoveragePoint>,
    /// Calibration of the predicted probabilities; `None` without rows.
    pub calibration: Option<Calibration>,
    /// Accuracy by the number of layers that ran for a text.
    pub by_depth: Vec<RowGroup>,
    /// Accuracy by the number of tokens of a text.
    pub by_length: Vec<RowGroup>,
    /// Accuracy by class size, the number of scored rows of a text's class.
    pub by_class_size: Vec<RowGroup>,
}

impl ClassAnalysis {
    /// Analyses the predicted classes of the texts with the token ids `encoded`; `texts` are the same rows.
    pub fn new(texts: Option<&Dataset>, encoded: &EncodedDataset, answers: &Answers) -> Self {
        let truth: Vec<u32> = encoded.samples.iter().map(|sample| sample.label).collect();
        let right: Vec<bool> = truth.iter().zip(&answers.labels).map(|(truth, answer)| truth == answer).collect();
        let row = |(truth, answer): (&u32, &u32)| match (*truth as usize, *answer as usize) {
            (truth, answer) if truth == answer => vec![Event::Both(truth)],
            (truth, answer) => vec![Event::TrueOnly(truth), Event::PredictedOnly(answer)],
        };
        let events: Vec<Vec<Event>> = truth.iter().zip(&answers.labels).map(row).collect();
        let rows = || events.iter().map(Vec::as_slice);
        let counts = Counts::of_rows(encoded.labels.len(), rows());
        let present = counts.iter().filter(|counts| counts.events() > 0).count();
        let sizes: Vec<usize> = counts.iter().map(Counts::rows).collect();
        let sure: Vec<(f32, bool)> = answers.probabilities.iter().copied().zip(right.iter().copied()).collect();
        let scores = Scores::Right(&right);
        Self {
            accuracy: Estimate::share(right.iter().filter(|right| **right).count(), right.len()),
            macro_f1: Estimate::macro_f1(&counts, present, rows()),
            classes: ClassScore::of_counts(&encoded.labels, &counts),
            confusion: confusion(&encoded.labels, &truth, &answers.labels),
            surest_errors: surest_errors(texts, &truth, answers),
            coverage: coverage(&sure),
            calibration: Calibration::new(&sure),
            by_depth: scores.by_depth(&answers.depths),
            by_length: scores.by_length(&encoded.lengths()),
            by_class_size: scores.by_class_size(&truth, &sizes),
        }
    }
}

fn confusion(labels: &[String], truth: &[u32], predicted: &[u32]) -> Vec<ConfusionCell> {
    let mut counts: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    truth.iter().zip(predicted).for_each(|(truth, answer)| *counts.entry((*truth, *answer)).or_default() += 1);
    let mut cells: Vec<((u32, u32), usize)> = counts.into_iter().collect();
    cells.sort_by_key(|((truth, answer), rows)| (truth == answer, std::cmp::Reverse(*rows)));
    let name = |class: u32| labels[class as usize].clone();
    let cell = |((truth, answer), rows)| ConfusionCell { label: name(truth), predicted: name(answer), rows };
    cells.into_iter().map(cell).collect()
}

fn surest_errors(texts: Option<&Dataset>, truth: &[u32], answers: &Answers) -> Vec<WrongAnswer> {
    let Some(texts) = texts else { return Vec::new() };
    let mut wrong: Vec<usize> = (0..truth.len()).filter(|row| truth[*row] != answers.labels[*row]).collect();
    wrong.sort_by(|a, b| answers.probabilities[*b].total_cmp(&answers.probabilities[*a]));
    wrong.truncate(ERRORS);
    let error = |row: usize| WrongAnswer {
        text: RowText::new(texts, row),
        label: texts.labels[truth[row] as usize].clone(),
        predicted: texts.labels[answers.labels[row] as usize].clone(),
        probability: answers.probabilities[row],
    };
    wrong.into_iter().map(error).collect()
}

#[cfg(test)]
mod tests {
    use dht_dynamic::transformer::{Encoding, Example, Sample};

    use super::*;
    use crate::error::Result;

    #[test]
    fn scores_of_classes_are_those_of_scikit_learn() -> Result<()> {
        // precision_recall_fscore_support(truth, answer, labels=[0, 1, 2, 3], zero_division=0) and
        // f1_score(average="macro") of scikit-learn.
        let truth = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 0, 1, 2, 0, 1];
        let labels = vec![0, 0, 0, 0, 1, 0, 1, 1, 0, 1, 1, 2, 1, 2, 2, 0, 1, 0, 0, 1];
        let names: Vec<String> = ["a", "b", "<b>c</b>", "none"].map(String::from).to_vec();
        let examples = truth.iter().map(|class| Example::new(format!("text of {class}"), *class)).collect();
        let texts = Dataset::from_examples("rows", names.clone(), examples)?;
        let encoding =
            || Encoding { ids: vec![1; 4], type_ids: Vec::new(), truncated: false, rest: Default::default() };
        let sample =
            |(id, label): (u64, &usize)| Sample { id, label: *label as u32, targets: Vec::new(), encoding: encoding() };
        let samples = (0..).zip(&truth).map(sample).collect();
        let encoded = EncodedDataset { samples, labels: names, truncated_rows: 0 };
        let probabilities = (0..20).map(|row| 0.5 + row as f32 / 50.0).collect();
        let answers = Answers { labels, probabilities, flops: vec![1; 20], depths: vec![1; 20], ..Answers::default() };
        let analysis = ClassAnalysis::new(Some(&texts), &encoded, &answers);
        let expected = [
            (0.7777777777777778, 0.875, 0.8235294117647058, 8),
            (0.75, 0.8571428571428571, 0.8, 7),
            (1.0, 0.6, 0.75, 5),
        ];
        for (class, (precision, recall, f1, rows)) in analysis.classes.iter().zip(expected) {
            let value = |estimate: Option<Estimate>| estimate.map_or(f64::NAN, |score| score.value);
            assert!((value(class.precision) - precision).abs() < 1e-12, "{class:?}");
            assert!((value(class.recall) - recall).abs() < 1e-12 && (value(class.f1) - f1).abs() < 1e-12, "{class:?}");
            assert_eq!(class.rows, rows);
        }
        let none = &analysis.classes[3];
        assert_eq!((none.rows, none.precision, none.recall, none.f1), (0, None, None, None));
        assert!((analysis.macro_f1.value - 0.7911764705882353).abs() < 1e-12, "{:?}", analysis.macro_f1);
        assert_eq!(analysis.accuracy.map(|score| score.value), Some(0.8));
        // confusion_matrix: [[7, 1, 0], [1, 6, 0], [1, 1, 3]].
        let cell = |label: &str, predicted: &str| {
            analysis
                .confusion
                .iter()
                .find(|cell| cell.label == label && cell.predicted == predicted)
                .map(|cell| cell.rows)
        };
        assert_eq!(
            [cell("a", "a"), cell("a", "b"), cell("<b>c</b>", "b"), cell("b", "<b>c</b>")],
            [Some(7), Some(1), Some(1), None]
        );
        assert!(analysis.confusion[0].label != analysis.confusion[0].predicted, "wrong answers come first");
        let errors: Vec<usize> = analysis.surest_errors.iter().map(|error| error.text.row).collect();
        assert_eq!(errors, [18, 13, 9, 5]);
        Ok(())
    }
}
