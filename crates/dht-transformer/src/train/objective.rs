//! Interface between the training loop and a trainable model.

use candle_core::Tensor;

use super::metrics::Confusion;
use crate::backend::ForwardContext;
use crate::data::{EncodedDataset, PackedBatch};
use crate::error::{Error, SettingMismatch};
use crate::tensors::Parameters;

/// Progress of a training run when a batch is processed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Seed of the run. `seed` and `step` together determine every random choice of a step.
    pub seed: u64,
    /// Number of optimiser steps so far.
    pub step: u64,
    /// Epoch number, counted from 0.
    pub epoch: usize,
    /// Completed fraction of the run, from 0 to 1, counted in samples over all epochs.
    pub share: f64,
}

/// Loss of one optimiser step, for which the backward pass has not run yet.
#[derive(Debug)]
pub struct StepLoss {
    /// Loss as a scalar tensor.
    pub loss: Tensor,
    /// Context of the forward pass that computed the loss. It runs the backward pass.
    pub ctx: ForwardContext,
    /// Number of samples over which the loss was computed.
    pub samples: usize,
    /// Number of terms (samples or tokens) over which the loss is the mean. If gradients are
    /// [accumulated](crate::TrainSettings::accumulate), losses are weighted by this number, so that the result equals
    /// that of a single batch.
    pub terms: usize,
}

/// Trainable model with a loss: the interface between a model and the [`Trainer`](crate::Trainer).
///
/// The training loop passes batches to the objective and receives losses, one for each optimiser step. An ordinary
/// objective returns the loss of each batch ([`offer`](Self::offer)). An objective may also hold samples back and
/// return their loss later ([`next_loss`](Self::next_loss)). At the end of each epoch the loop requests the losses of
/// all held-back samples, so that every sample is trained on exactly once in each epoch.
pub trait Objective {
    /// Error type of the objective.
    type Error: From<Error>;

    /// Parameters that the training loop updates.
    fn parameters(&self) -> &Parameters;

    /// Checks that the objective can be trained and scored on all samples. The training loop calls this method with the
    /// training and the validation samples before a run starts or resumes. Otherwise an invalid validation sample would
    /// cause an error only at the end of the first epoch. The default accepts all samples.
    ///
    /// # Errors
    /// Error of the implementing type, with the row of the invalid sample.
    fn check_data(&self, _data: &EncodedDataset) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Prepares a new training run. The training loop calls this method once before the first batch, but not if a run
    /// is resumed.
    ///
    /// # Errors
    /// Any error of the implementing type.
    fn prepare(&mut self, _training: &EncodedDataset, _progress: Progress) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Processes the next batch and returns its loss. `None` if the batch has no loss, or if the objective holds its
    /// samples back for a later loss.
    ///
    /// # Errors
    /// Any error of the implementing type.
    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>, Self::Error>;

    /// Returns the next loss of samples that the objective holds back. `None` if the objective waits for more batches.
    /// With `drain`, the result is `None` only if no samples are held back any more. The default is for objectives that
    /// never hold samples back.
    ///
    /// # Errors
    /// Any error of the implementing type.
    fn next_loss(&mut self, _progress: Progress, _drain: bool) -> Result<Option<StepLoss>, Self::Error> {
        Ok(None)
    }

    /// Returns whether an error means that a batch exceeds the device's memory, and the batch may be offered again in
    /// parts whose gradients are added up. The default is `false`. An objective whose losses cover samples of several
    /// batches must return `false`.
    fn may_split(_: &Self::Error) -> bool {
        false
    }

    /// Computes the validation score; higher is better. The training loop computes it after each epoch, and selects the
    /// best epoch by it. For a classifier it is the macro F1 of its predictions, [`Predict::macro_f1`].
    ///
    /// # Errors
    /// Any error of the implementing type.
    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64, Self::Error>;

    /// Name of the validation [`score`](Self::score) in messages, such as "macro F1".
    fn metric(&self) -> &'static str {
        "macro F1"
    }

    /// Returns whether the current model may be stored as the best of a training run. An objective must return `false`
    /// as long as later parts of the run will change the structure of the model.
    fn may_be_best(&self) -> bool {
        true
    }

    /// Returns the state, in addition to the parameters, that a resumed training run needs.
    ///
    /// # Errors
    /// Any error of the implementing type.
    fn state(&self) -> Result<serde_json::Value, Self::Error>;

    /// Lists the settings in which a stored [`state`](Self::state) differs from this objective. If there are any, the
    /// run cannot be resumed from the state. The default returns none, which is correct if a state contains no
    /// settings.
    ///
    /// # Errors
    /// Any error of the implementing type.
    fn differences(&self, _state: &serde_json::Value) -> Result<Vec<SettingMismatch>, Self::Error> {
        Ok(Vec::new())
    }

    /// Restores a state that [`state`](Self::state) returned. Samples that the objective had held back for a later loss
    /// are looked up in `training`.
    ///
    /// # Errors
    /// Any error of the implementing type.
    fn restore(&mut self, state: serde_json::Value, training: &EncodedDataset) -> Result<(), Self::Error>;

    /// Restores the state of the best epoch, after its parameters were restored. The default keeps the state at the end
    /// of the run, which is correct if the state only matters for training.
    ///
    /// # Errors
    /// Any error of the implementing type.
    fn restore_best(&mut self, _state: serde_json::Value) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Objective that predicts one class for each sample.
pub trait Predict: Objective {
    /// Predicts the class of each sample in a batch. All batches of an evaluation share `ctx`, which caches packed
    /// weights.
    ///
    /// # Errors
    /// Any error of the implementing type.
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Vec<u32>, Self::Error>;

    /// Predicts the class of each row of a data set. The longest texts run first.
    ///
    /// # Errors
    /// Any error of the implementing type.
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

    /// Computes the macro F1 of the predictions for a data set.
    ///
    /// # Errors
    /// Errors of [`predictions`](Self::predictions) and of [`Confusion::from_predictions`].
    fn macro_f1(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64, Self::Error> {
        let predicted = self.predictions(data, batch_size)?;
        Ok(Confusion::from_predictions(data, &predicted)?.macro_f1())
    }
}
