//! What a classifier's outputs mean.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::data::{EncodedDataset, PackedBatch, Sample};
use crate::error::{Error, Result};
use crate::tensors::{binary_cross_entropy, cross_entropy, log_softmax, squared_error};

/// What is predicted of a text: `problem_type` in a Hugging Face `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Task {
    /// One of the classes: softmax and cross-entropy.
    #[default]
    #[serde(rename = "single_label_classification")]
    Class,
    /// Any of the labels: a sigmoid and binary cross-entropy for each.
    #[serde(rename = "multi_label_classification")]
    Labels,
    /// A number: squared error.
    #[serde(rename = "regression")]
    Number,
}

impl Task {
    /// Whether a model of this task may have so many outputs.
    ///
    /// # Errors
    /// [`Error::Setting`] when a class is to be told from fewer than 2, there is no label, or not one number.
    pub fn check(self, outputs: usize) -> Result<()> {
        let (right, expected) = match self {
            Self::Class => (outputs >= 2, "at least 2"),
            Self::Labels => (outputs >= 1, "at least 1"),
            Self::Number => (outputs == 1, "1, for a number"),
        };
        if right {
            return Ok(());
        }
        Err(Error::setting("classes", expected, outputs.to_string()))
    }

    /// Whether rows have what a model of so many outputs learns from.
    ///
    /// # Errors
    /// [`Error::Setting`] with the first row of a class that the model does not have, with targets where it has classes, or without
    /// a finite target for each output.
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
                return Err(Error::setting("targets", expected, format!("{} in row {row}", targets.len())));
            }
            let right = |target: &f32| target.is_finite() && (self != Self::Labels || (0.0..=1.0).contains(target));
            if let Some(target) = targets.iter().find(|target| !right(target)) {
                return Err(Error::setting("targets", expected, format!("{target} in row {row}")));
            }
        }
        Ok(())
    }

    /// The mean loss of a batch's outputs (samples, outputs): one number.
    pub(crate) fn loss(self, outputs: &Tensor, batch: &PackedBatch) -> Result<Tensor> {
        let losses = match self {
            Self::Class => cross_entropy(outputs, &batch.labels)?,
            Self::Labels => binary_cross_entropy(outputs, &targets(outputs, batch)?)?,
            Self::Number => squared_error(outputs, &targets(outputs, batch)?)?,
        };
        Ok(losses.mean_all()?)
    }

    /// What the outputs say: probabilities of classes or labels, or numbers. (samples, outputs)
    pub(crate) fn answers(self, outputs: &Tensor) -> Result<Tensor> {
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
