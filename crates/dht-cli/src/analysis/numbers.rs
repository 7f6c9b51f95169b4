//! Analysis of a regression model's answers.

use dht_dynamic::transformer::train::metrics::Correlation;
use dht_dynamic::transformer::{Dataset, EncodedDataset};
use serde::Serialize;

use super::classes::ERRORS;
use super::estimate::Estimate;
use super::parts::{RowGroup, Scores, groups};
use super::row_text::RowText;
use crate::error::Result;

/// Number of groups into which rows are divided by their predicted number.
const GROUPS: usize = 10;

/// Row whose predicted number is far from the true number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WrongNumber {
    /// Text of the row.
    #[serde(flatten)]
    pub text: RowText,
    /// True number.
    pub value: f64,
    /// Predicted number.
    pub predicted: f64,
}

/// Group of rows with similar predictions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PredictionGroup {
    /// Number of rows in the group.
    pub rows: usize,
    /// Mean predicted number of the group.
    pub predicted: f64,
    /// Mean true number of the group.
    pub value: Estimate,
}

/// Analysis of a regression model's answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NumberAnalysis {
    /// Pearson correlation of predictions and true numbers.
    pub pearson: Estimate,
    /// Spearman correlation of predictions and true numbers.
    pub spearman: f64,
    /// Mean absolute error.
    pub mean_absolute_error: Option<Estimate>,
    /// Root mean squared error.
    pub root_mean_squared_error: Option<Estimate>,
    /// Mean of (prediction − true number).
    pub bias: Option<Estimate>,
    /// Mean true number in groups of rows with similar predictions, of nearly equal size.
    pub by_prediction: Vec<PredictionGroup>,
    /// Mean absolute error in groups of rows with similar true numbers.
    pub by_value: Vec<RowGroup>,
    /// Mean absolute error by the number of tokens of a text.
    pub by_length: Vec<RowGroup>,
    /// Rows with the largest absolute errors.
    pub largest_errors: Vec<WrongNumber>,
}

impl NumberAnalysis {
    /// Analyses the predicted numbers of `texts`.
    ///
    /// # Errors
    /// Errors of computing the correlation.
    pub fn new(texts: Option<&Dataset>, encoded: &EncodedDataset, predictions: &[Vec<f32>]) -> Result<Self> {
        let truth: Vec<f64> =
            encoded.samples.iter().map(|sample| sample.targets.first().copied().unwrap_or_default().into()).collect();
        let predicted: Vec<f64> = predictions.iter().flatten().copied().map(f64::from).collect();
        let correlation = Correlation::from_values(&truth, &predicted)?;
        let differences: Vec<f64> = predicted.iter().zip(&truth).map(|(predicted, truth)| predicted - truth).collect();
        let absolute: Vec<f64> = differences.iter().map(|difference| difference.abs()).collect();
        let squares: Vec<f64> = differences.iter().map(|difference| difference * difference).collect();
        let group = |rows: Vec<usize>| {
            let values: Vec<f64> = rows.iter().map(|row| truth[*row]).collect();
            let mean = rows.iter().map(|row| predicted[*row]).sum::<f64>() / rows.len() as f64;
            Some(PredictionGroup { rows: rows.len(), predicted: mean, value: Estimate::mean(&values)? })
        };
        let mut order: Vec<usize> = (0..truth.len()).collect();
        order.sort_by(|a, b| absolute[*b].total_cmp(&absolute[*a]));
        order.truncate(ERRORS);
        let error = |row: usize| {
            Some(WrongNumber { text: RowText::new(texts?, row), value: truth[row], predicted: predicted[row] })
        };
        let scores = Scores::Values(&absolute);
        Ok(Self {
            pearson: Estimate::correlation(correlation.pearson, truth.len()),
            spearman: correlation.spearman,
            mean_absolute_error: Estimate::mean(&absolute),
            root_mean_squared_error: Estimate::mean(&squares).map(|mean| mean.map(|square| square.max(0.0).sqrt())),
            bias: Estimate::mean(&differences),
            by_prediction: groups(&predicted, GROUPS, f64::total_cmp).into_iter().filter_map(group).collect(),
            by_value: scores.by_value(&truth),
            by_length: scores.by_length(&encoded.lengths()),
            largest_errors: order.into_iter().filter_map(error).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use dht_dynamic::transformer::{Encoding, Example, Sample};

    use super::*;

    #[test]
    fn scores_of_numbers_are_those_of_scikit_learn() -> Result<()> {
        // mean_absolute_error and root_mean_squared_error of scikit-learn, and scipy's pearsonr, of these rows.
        let truth = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0_f32];
        let predicted = [1.2, 1.9, 3.3, 3.7, 5.2, 5.5, 7.4, 8.1_f32];
        let example = |target: &f32| Example { targets: vec![*target], ..Example::new("a text", 0) };
        let texts = Dataset::from_examples("rows", vec!["stars".into()], truth.iter().map(example).collect())?;
        let sample = |target: &f32| {
            let encoding =
                Encoding { ids: vec![1; 4], type_ids: Vec::new(), truncated: false, rest: Default::default() };
            Sample { id: 0, label: 0, targets: vec![*target], encoding }
        };
        let samples = truth.iter().map(sample).collect();
        let encoded = EncodedDataset { samples, labels: texts.labels.clone(), truncated_rows: 0 };
        let analysis = NumberAnalysis::new(Some(&texts), &encoded, &predicted.map(|number| vec![number]))?;
        let value = |estimate: Option<Estimate>| estimate.map_or(f64::NAN, |score| score.value);
        assert!((value(analysis.mean_absolute_error) - 0.2625).abs() < 1e-6, "{analysis:?}");
        assert!((value(analysis.root_mean_squared_error) - 0.2936835031117682).abs() < 1e-6, "{analysis:?}");
        assert!(
            (analysis.pearson.value - 0.9919981590523586).abs() < 1e-6 && analysis.spearman > 1.0 - 1e-12,
            "{analysis:?}"
        );
        assert_eq!(analysis.largest_errors[0].text.row, 6);
        assert_eq!(analysis.by_prediction.iter().map(|group| group.rows).sum::<usize>(), 8);
        Ok(())
    }
}
