//! Task of a classifier: the meaning of its outputs.

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::data::{EncodedDataset, PackedBatch, Sample};
use crate::error::{Error, Result};
use crate::tensors::{binary_cross_entropy, cross_entropy, finite_rows, log_softmax, squared_error};

/// Task of a classifier: `problem_type` in a Hugging Face `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Task {
    /// Single-label classification: softmax and cross-entropy.
    #[default]
    #[serde(rename = "single_label_classification")]
    Class,
    /// Multi-label classification: a sigmoid and binary cross-entropy for each label.
    #[serde(rename = "multi_label_classification")]
    Labels,
    /// Regression: squared error.
    #[serde(rename = "regression")]
    Number,
}

impl Task {
    /// Checks that a model of this task can have this number of outputs.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer than 2 classes, no label, or for a regression with other than one output.
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

    /// Checks that rows have targets that a model with this number of outputs can learn from.
    ///
    /// # Errors
    /// [`Error::Argument`] with the first row whose class the model does not have, that has targets although the model
    /// predicts classes, or that lacks a finite target for an output.
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

    /// Probabilities of classes or labels, or the numbers, that outputs (samples, outputs) of a model of this task stand
    /// for. `samples` are the rows of the samples in their data set.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with the first sample that has a NaN or infinite value; the errors of candle.
    pub fn probabilities(self, outputs: &Tensor, samples: &[u64]) -> Result<Vec<Vec<f32>>> {
        finite_rows(&self.answers(outputs)?.to_dtype(DType::F32)?, samples)
    }

    /// First class with the highest probability or logit.
    pub fn most_probable(row: &[f32]) -> u32 {
        let best = |best: usize, class: usize| if row[class] > row[best] { class } else { best };
        (1..row.len()).fold(0, best) as u32
    }

    /// Mean loss of a batch's outputs (samples, outputs), a scalar.
    pub(crate) fn loss(self, outputs: &Tensor, batch: &PackedBatch) -> Result<Tensor> {
        Ok(self.losses(outputs, batch)?.mean_all()?)
    }

    /// Loss of each sample of a batch's outputs (samples, outputs). Shape: (samples).
    ///
    /// # Errors
    /// [`Error::Shape`] for labels or targets of another shape; the errors of candle.
    pub fn losses(self, outputs: &Tensor, batch: &PackedBatch) -> Result<Tensor> {
        match self {
            Self::Class => cross_entropy(outputs, &batch.labels),
            Self::Labels => binary_cross_entropy(outputs, &targets(outputs, batch)?),
            Self::Number => squared_error(outputs, &targets(outputs, batch)?),
        }
    }

    /// Converts outputs to probabilities of classes or labels, or to numbers. Shape: (samples, outputs).
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
