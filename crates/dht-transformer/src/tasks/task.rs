//! What a classifier's outputs mean.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::data::PackedBatch;
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
