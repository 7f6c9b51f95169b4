//! Interface between the training loop and a trainable model.

use candle_core::Tensor;

use super::metrics::Confusion;
use crate::backend::ForwardContext;
use crate::data::{EncodedDataset, PackedBatch};
use crate::error::{Error, SettingMismatch};
use crate::tensors::Parameters;

/// Progress of a training run at a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Seed of the run. Together with `step` it determines every random choice of the step.
    pub seed: u64,
    /// Number of optimiser steps so far.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: usize,
    /// Completed fraction of the run, from 0 to 1, counted in samples of all epochs.
    pub share: f64,
}

/// Loss that is ready for its backward pass and one optimiser step.
#[derive(Debug)]
pub struct StepLoss {
    /// Scalar loss.
    pub loss: Tensor,
    /// Context of the loss's forward pass, from which the backward pass starts.
    pub ctx: ForwardContext,
    /// Number of samples of the loss.
    pub samples: usize,
    /// Number of terms (samples or tokens) over which the loss is the mean. If gradients are
    /// [accumulated](crate::TrainSettings::accumulate), it is the weight of the loss, so that the result equals that of
    /// a single batch.
    pub terms: usize,
}

/// Trainable model with a loss, the interface between a model and the [`Trainer`](crate::Trainer).
///
/// The training loop offers batches and gets losses, one for each optimiser step. An ordinary objective returns the
/// loss of each batch ([`offer`](Self::offer)). An objective may also hold samples back and return their loss later
/// ([`next_loss`](Self::next_loss)). At the end of each epoch all held-back samples are requested, so that every sample
/// is trained on exactly once in each epoch.
pub trait Objective {
    /// Error type.
    type Error: From<Error>;

    /// Parameters to train.
    fn parameters(&self) -> &Parameters;

    /// Refuses samples on which the objective cannot be trained or scored. The training loop calls this method with the
    /// training and the validation samples before a run starts or resumes, so that invalid validation samples are not
    /// first found at the end of an epoch. The default accepts all samples.
    ///
    /// # Errors
    /// The errors of the implementor, with the row.
    fn check_data(&self, _data: &EncodedDataset) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Prepares a new training run (not a resumed one), once before its first batch.
    ///
    /// # Errors
    /// The errors of the implementor.
    fn prepare(&mut self, _training: &EncodedDataset, _progress: Progress) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Takes the next batch, and returns its loss. `None` for a batch without a loss, and for samples that the
    /// objective holds back.
    ///
    /// # Errors
    /// The errors of the implementor.
    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>, Self::Error>;

    /// Next loss of samples that the objective holds back. `None` if the loss needs more batches. With `drain`, the
    /// result is `None` only if no samples are held back any more. The default is for objectives that never hold
    /// samples back.
    ///
    /// # Errors
    /// The errors of the implementor.
    fn next_loss(&mut self, _progress: Progress, _drain: bool) -> Result<Option<StepLoss>, Self::Error> {
        Ok(None)
    }

    /// Returns whether an error means that a batch exceeds the device's memory and may be offered again in parts, whose
    /// gradients are added up. The default is `false`, which is required if a loss covers more than the samples of one
    /// batch.
    fn may_split(_: &Self::Error) -> bool {
        false
    }

    /// Validation score, higher is better. The score is computed after each epoch and selects the best epoch. For a
    /// classifier it is the macro F1 of its predictions, [`Predict::macro_f1`].
    ///
    /// # Errors
    /// The errors of the implementor.
    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64, Self::Error>;

    /// Name of the validation [`score`](Self::score) in messages, such as "macro F1".
    fn metric(&self) -> &'static str {
        "macro F1"
    }

    /// Returns whether the current model may be stored as the best of a training run. `false` while later parts of the
    /// training run will still change the structure of the model.
    fn may_be_best(&self) -> bool {
        true
    }

    /// State, in addition to the parameters, that a resumed training run needs.
    ///
    /// # Errors
    /// The errors of the implementor.
    fn state(&self) -> Result<serde_json::Value, Self::Error>;

    /// Settings in which a stored [`state`](Self::state) differs from this objective. A run with such a state cannot
    /// resume. The default returns none, which is correct if a state contains no settings.
    ///
    /// # Errors
    /// The errors of the implementor.
    fn differences(&self, _state: &serde_json::Value) -> Result<Vec<SettingMismatch>, Self::Error> {
        Ok(Vec::new())
    }

    /// Restores a state from [`state`](Self::state). Held-back samples are looked up in `training`.
    ///
    /// # Errors
    /// The errors of the implementor.
    fn restore(&mut self, state: serde_json::Value, training: &EncodedDataset) -> Result<(), Self::Error>;

    /// Restores the state of the best epoch, after its parameters were restored. The default keeps the final state of
    /// the run, which is correct if the state only matters for training.
    ///
    /// # Errors
    /// The errors of the implementor.
    fn restore_best(&mut self, _state: serde_json::Value) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Objective that predicts one class for each sample.
pub trait Predict: Objective {
    /// Class of each sample. All batches of an evaluation share `ctx`, which caches packed weights.
    ///
    /// # Errors
    /// The errors of the implementor.
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Vec<u32>, Self::Error>;

    /// Predicted class of each row of a data set. The longest texts run first.
    ///
    /// # Errors
    /// The errors of the implementor.
    fn predictions(&self, data: &EncodedDataset, batch_size: usize) -> Result<Vec<u32>, Self::Error> {
        let ctx = ForwardContext::inference();
        let mut labels = vec![0; data.len()];
        for rows in PackedBatch::longest_first(&data.lengths(), batch_size)? {
            for (row, label) in rows.iter().zip(self.predict(&data.batch(&rows)?, &ctx)?) {
                labels[*row] = label;
            }
        }
        Ok(labels)
    }

    /// Macro F1 of the predictions of a data set.
    ///
    /// # Errors
    /// Errors of [`predictions`](Self::predictions) and of [`Confusion::from_predictions`].
    fn macro_f1(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64, Self::Error> {
        let predicted = self.predictions(data, batch_size)?;
        Ok(Confusion::from_predictions(data, &predicted)?.macro_f1())
    }
}
