//! Predictions of a whole data set, and their score.

use std::time::Instant;

use super::confusion::Confusion;
use crate::backend::ForwardContext;
use crate::data::{EncodedDataset, PackedBatch};
use crate::error::Result;
use crate::train::objective::Predict;

/// Predictions on a data set and their run time.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// Predicted class of each row.
    pub labels: Vec<u32>,
    /// Wall-clock time in seconds, without tokenising.
    pub seconds: f64,
}

/// Predicts every row, longest texts first.
///
/// # Errors
/// The errors of the objective.
pub fn predict_all<O: Predict>(
    objective: &O,
    data: &EncodedDataset,
    batch_size: usize,
) -> Result<Predictions, O::Error> {
    let (start, ctx) = (Instant::now(), ForwardContext::inference());
    let mut labels = vec![0; data.len()];
    for rows in PackedBatch::longest_first(&data.lengths(), batch_size)? {
        for (row, label) in rows.iter().zip(objective.predict(&data.batch(&rows)?, &ctx)?) {
            labels[*row] = label;
        }
    }
    Ok(Predictions { labels, seconds: start.elapsed().as_secs_f64() })
}

/// Confusion matrix of predictions and the labels of a data set.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the number of predictions differs from the number of rows;
/// [`Error::Argument`](crate::Error::Argument) for a class that the data set does not have.
pub fn score(data: &EncodedDataset, predicted: &[u32]) -> Result<Confusion> {
    let truth: Vec<usize> = data.samples.iter().map(|sample| sample.label as usize).collect();
    let predicted: Vec<usize> = predicted.iter().map(|label| *label as usize).collect();
    Confusion::from_labels(data.labels.len(), &truth, &predicted)
}

/// Macro F1 of an objective's predictions.
///
/// # Errors
/// As [`predict_all`] and [`score`].
pub fn macro_f1<O: Predict>(objective: &O, data: &EncodedDataset, batch_size: usize) -> Result<f64, O::Error> {
    let predicted = predict_all(objective, data, batch_size)?;
    Ok(score(data, &predicted.labels)?.macro_f1())
}
