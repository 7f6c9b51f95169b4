//! Analysis of a multi-label model's answers.

use dht_dynamic::transformer::train::metrics::LabelThresholds;
use dht_dynamic::transformer::{Dataset, EncodedDataset};
use serde::Serialize;

use super::calibration::Calibration;
use super::classes::{ClassScore, ERRORS};
use super::estimate::{Counts, Estimate, Event};
use super::parts::{RowGroup, Scores};
use super::row_text::RowText;

/// Label that is predicted for a row that does not have it, or not predicted for a row that has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WrongLabel {
    /// Text of the row.
    #[serde(flatten)]
    pub text: RowText,
    /// Name of the label.
    pub label: String,
    /// True if the row has the label and the model does not predict it; false for the opposite.
    pub left_out: bool,
    /// Predicted probability of the label.
    pub probability: f32,
}

/// Analysis of a multi-label model's answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelAnalysis {
    /// Mean F1 over the labels.
    pub macro_f1: Estimate,
    /// F1 of all labels counted together.
    pub micro_f1: Option<Estimate>,
    /// Share of the rows whose labels are all predicted right.
    pub subset_accuracy: Option<Estimate>,
    /// Number of rows without a label.
    pub rows_without_labels: usize,
    /// Number of rows for which the model predicts no label.
    pub answers_without_labels: usize,
    /// Scores of each label, in the model's order of labels.
    pub labels: Vec<ClassScore>,
    /// Wrong labels with the highest certainty: descending difference between the label's probability and its true
    /// value, 0 or 1.
    pub surest_errors: Vec<WrongLabel>,
    /// Calibration of the probabilities, one for each row and label; `None` without rows.
    pub calibration: Option<Calibration>,
    /// Share of the rows whose labels are all predicted right, by the number of labels of the row.
    pub by_labels: Vec<RowGroup>,
    /// Share of the rows whose labels are all predicted right, by the number of tokens.
    pub by_length: Vec<RowGroup>,
}

impl LabelAnalysis {
    /// Analyses the predicted label probabilities of `texts`.
    pub fn new(
        texts: Option<&Dataset>,
        encoded: &EncodedDataset,
        probabilities: &[Vec<f32>],
        thresholds: Option<&LabelThresholds>,
    ) -> Self {
        let even = LabelThresholds::even(encoded.labels.len());
        let thresholds = thresholds.unwrap_or(&even);
        let (mut events, mut exact, mut sure, mut wrong) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut of_rows, mut empty_answers) = (Vec::new(), 0);
        for (row, (sample, own)) in encoded.samples.iter().zip(probabilities).enumerate() {
            let applied = thresholds.applying(own);
            empty_answers += usize::from(applied.is_empty());
            let mut of_row = Vec::new();
            for (label, (target, probability)) in sample.targets.iter().zip(own).enumerate() {
                let (has, gives) = (*target >= 0.5, applied.contains(&label));
                sure.push((*probability, has));
                match (has, gives) {
                    (true, true) => of_row.push(Event::Both(label)),
                    (true, false) => of_row.push(Event::TrueOnly(label)),
                    (false, true) => of_row.push(Event::PredictedOnly(label)),
                    (false, false) => {}
                }
                if has != gives {
                    wrong.push((row, label, has, *probability));
                }
            }
            of_rows.push(sample.targets.iter().filter(|target| **target >= 0.5).count());
            exact.push(of_row.iter().all(|event| matches!(event, Event::Both(_))));
            events.push(of_row);
        }
        let rows = || events.iter().map(Vec::as_slice);
        let counts = Counts::of_rows(encoded.labels.len(), rows());
        let sum = |of: fn(&Counts) -> usize| counts.iter().map(of).sum();
        let all = Counts {
            both: sum(|counts| counts.both),
            predicted_only: sum(|counts| counts.predicted_only),
            true_only: sum(|counts| counts.true_only),
        };
        let scores = Scores::Right(&exact);
        Self {
            macro_f1: Estimate::macro_f1(&counts, counts.len(), rows()),
            micro_f1: (all.events() > 0).then(|| Estimate::micro_f1(&all, rows())),
            subset_accuracy: Estimate::share(exact.iter().filter(|exact| **exact).count(), exact.len()),
            rows_without_labels: of_rows.iter().filter(|labels| **labels == 0).count(),
            answers_without_labels: empty_answers,
            labels: ClassScore::of_counts(&encoded.labels, &counts),
            surest_errors: surest_errors(texts, wrong),
            calibration: Calibration::new(&sure),
            by_labels: scores.by_count(&of_rows, "label"),
            by_length: scores.by_length(&encoded.lengths()),
        }
    }
}

fn surest_errors(texts: Option<&Dataset>, mut wrong: Vec<(usize, usize, bool, f32)>) -> Vec<WrongLabel> {
    let Some(texts) = texts else { return Vec::new() };
    let distance = |error: &(usize, usize, bool, f32)| if error.2 { 1.0 - error.3 } else { error.3 };
    wrong.sort_by(|a, b| distance(b).total_cmp(&distance(a)));
    wrong.truncate(ERRORS);
    let error = |(row, label, left_out, probability): (usize, usize, bool, f32)| WrongLabel {
        text: RowText::new(texts, row),
        label: texts.labels[label].clone(),
        left_out,
        probability,
    };
    wrong.into_iter().map(error).collect()
}

#[cfg(test)]
mod tests {
    use dht_dynamic::transformer::{Encoding, Example, Sample};

    use super::*;
    use crate::error::Result;

    #[test]
    fn scores_of_labels_are_those_of_scikit_learn() -> Result<()> {
        // precision_recall_fscore_support(truth, answers, zero_division=0) of these rows.
        let truth = [[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0], [1, 1, 0]];
        let answers = [[1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 1, 0], [1, 0, 1]];
        let targets = |row: &[u8; 3]| row.map(f32::from).to_vec();
        let names: Vec<String> = ["food", "staff", "price"].map(String::from).to_vec();
        let example = |row| Example { targets: targets(row), ..Example::new("a text", 0) };
        let texts = Dataset::from_examples("rows", names.clone(), truth.iter().map(example).collect())?;
        let sample = |row: &[u8; 3]| {
            let encoding =
                Encoding { ids: vec![1; 4], type_ids: Vec::new(), truncated: false, rest: Default::default() };
            Sample { id: 0, label: 0, targets: targets(row), encoding }
        };
        let encoded = EncodedDataset { samples: truth.iter().map(sample).collect(), labels: names, truncated_rows: 0 };
        let probabilities: Vec<Vec<f32>> =
            answers.iter().map(|row| row.map(|applies: u8| 0.05 + 0.8 * f32::from(applies)).to_vec()).collect();
        let analysis = LabelAnalysis::new(Some(&texts), &encoded, &probabilities, None);
        let value = |estimate: Option<Estimate>| estimate.map_or(0.0, |score| score.value);
        for (label, expected) in analysis.labels.iter().zip([2.0 / 3.0, 2.0 / 3.0, 0.0]) {
            let scores = [value(label.precision), value(label.recall), value(label.f1)];
            assert!(scores.iter().all(|score| (score - expected).abs() < 1e-12), "{label:?}");
        }
        assert_eq!(analysis.labels[2].recall, None);
        assert!(
            (analysis.macro_f1.value - 4.0 / 9.0).abs() < 1e-12 && value(analysis.subset_accuracy) == 0.2,
            "{analysis:?}"
        );
        assert_eq!((analysis.rows_without_labels, analysis.answers_without_labels), (1, 0));
        let first = &analysis.surest_errors[0];
        assert_eq!((first.text.row, &*first.label, first.left_out), (2, "food", true));
        assert_eq!(analysis.by_labels.iter().map(|part| part.rows).collect::<Vec<_>>(), [1, 2, 2]);
        Ok(())
    }
}
