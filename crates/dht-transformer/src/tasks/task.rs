//! Task of a classifier: classes, labels or a number.

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::data::{EncodedDataset, PackedBatch, Sample};
use crate::error::{Error, Result};
use crate::tensors::{binary_cross_entropy, cross_entropy, finite_rows, log_softmax, squared_error};

/// Task of a classifier, which determines its loss and the meaning of its outputs. In a Hugging Face `config.json` it
/// is the field `problem_type`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use dht_transformer::Task;
///
/// let outputs = Tensor::new(&[[0f32, 100.0]], &Device::Cpu)?; // one sample, two labels
/// assert_eq!(Task::Labels.probabilities(&outputs, &[0])?, [[0.5, 1.0]]);
/// assert_eq!(Task::Number.probabilities(&outputs, &[0])?, [[0.0, 100.0]]);
/// assert_eq!(Task::most_probable(&[0.2, 0.5, 0.3]), 1);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Task {
    /// Single-label classification: each text has one class. The loss is the cross-entropy of the softmax.
    #[default]
    #[serde(rename = "single_label_classification")]
    Class,
    /// Multi-label classification: each text has any number of labels. The loss is the binary cross-entropy of a
    /// sigmoid for each label.
    #[serde(rename = "multi_label_classification")]
    Labels,
    /// Regression: each text has a number. The loss is the squared error.
    #[serde(rename = "regression")]
    Number,
}

impl Task {
    /// Checks that a model for this task can have `outputs` outputs.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer than 2 classes, for no label, or for a regression whose number of outputs is not
    /// 1.
    pub fn check(self, outputs: usize) -> Result<()> {
        let (right, expected) = match self {
            Self::Class => (outputs >= 2, "at least 2"),
            Self::Labels => (outputs >= 1, "at least 1"),
            Self::Number => (outputs == 1, "1, for a number"),
        };
        if right {
            return Ok(());
        }
        Err(Error::argument("classes", expected, outputs.to_string()))
    }

    /// Checks that a model with `outputs` outputs can be trained on all rows of a data set.
    ///
    /// # Errors
    /// [`Error::Argument`] with the first row in one of these cases:
    ///
    /// - The model does not have the row's class.
    /// - The row has targets, but the model predicts classes.
    /// - The row has no finite target for one of the outputs.
    pub fn check_targets(self, data: &EncodedDataset, outputs: usize) -> Result<()> {
        if self == Self::Class {
            data.check_classes(outputs)?;
        }
        let width = if self == Self::Class { 0 } else { outputs };
        for (row, Sample { targets, .. }) in data.samples.iter().enumerate() {
            let expected = match self {
                Self::Class => "none, for a model of classes",
                Self::Labels => "a number from 0 to 1 for each label",
                Self::Number => "one finite number",
            };
            if targets.len() != width {
                return Err(Error::argument("targets", expected, format!("{} in row {row}", targets.len())));
            }
            let right = |target: &f32| target.is_finite() && (self != Self::Labels || (0.0..=1.0).contains(target));
            if let Some(target) = targets.iter().find(|target| !right(target)) {
                return Err(Error::argument("targets", expected, format!("{target} in row {row}")));
            }
        }
        Ok(())
    }

    /// Converts outputs of shape (samples, outputs) to probabilities of classes or labels, or to the predicted numbers.
    /// `samples` has the id of each sample, which is its row in the data set, for errors.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with the first sample that has a NaN or infinite value;
    /// [`Error::Candle`] if a tensor operation fails.
    pub fn probabilities(self, outputs: &Tensor, samples: &[u64]) -> Result<Vec<Vec<f32>>> {
        finite_rows(&self.answers(outputs)?.to_dtype(DType::F32)?, samples)
    }

    /// Index of the highest probability or logit in `row`; the first one in a tie.
    pub fn most_probable(row: &[f32]) -> u32 {
        let best = |best: usize, class: usize| if row[class] > row[best] { class } else { best };
        (1..row.len()).fold(0, best) as u32
    }

    /// Computes the mean loss of a batch, a scalar, from the model's outputs of shape (samples, outputs).
    pub(crate) fn loss(self, outputs: &Tensor, batch: &PackedBatch) -> Result<Tensor> {
        Ok(self.losses(outputs, batch)?.mean_all()?)
    }

    /// Computes the loss of each sample in a batch, shape (samples), from its outputs of shape (samples, outputs).
    ///
    /// # Errors
    /// [`Error::Shape`] if the labels or targets have another shape;
    /// [`Error::Candle`] if a tensor operation fails.
    pub fn losses(self, outputs: &Tensor, batch: &PackedBatch) -> Result<Tensor> {
        match self {
            Self::Class => cross_entropy(outputs, &batch.labels),
            Self::Labels => binary_cross_entropy(outputs, &targets(outputs, batch)?),
            Self::Number => squared_error(outputs, &targets(outputs, batch)?),
        }
    }

    /// Converts a model's outputs to probabilities of classes or labels, or to predicted numbers, shape (samples,
    /// outputs).
    fn answers(self, outputs: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Class => log_softmax(outputs)?.exp()?,
            Self::Labels => ((outputs.neg()?.exp()? + 1.0)?).recip()?,
            Self::Number => outputs.clone(),
        })
    }
}

fn targets(outputs: &Tensor, batch: &PackedBatch) -> Result<Tensor> {
    let (samples, width) = outputs.dims2()?;
    if batch.targets.len() != samples * width {
        let (expected, got) = (vec![samples, width], vec![batch.targets.len()]);
        return Err(Error::Shape { what: "targets".into(), expected, got });
    }
    Ok(Tensor::from_slice(&batch.targets, (samples, width), outputs.device())?)
}
