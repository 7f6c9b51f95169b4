//! What the training loop trains.

use candle_core::Tensor;

use crate::backend::ForwardContext;
use crate::data::{EncodedDataset, PackedBatch};
use crate::error::{Error, SettingMismatch};
use crate::tensors::Parameters;

/// Where a training stands when a batch comes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// The training's seed: with `step` it keys every random choice of the step.
    pub seed: u64,
    /// Optimiser steps so far.
    pub step: u64,
    /// The epoch, from 0.
    pub epoch: usize,
    /// The share of all epochs' samples that are done, from 0 to 1.
    pub share: f64,
}

/// A loss that is ready for its backward and one optimiser step.
#[derive(Debug)]
pub struct StepLoss {
    /// One number.
    pub loss: Tensor,
    /// The pass that it was computed in.
    pub ctx: ForwardContext,
    /// How many samples it is a loss of.
    pub samples: usize,
    /// How many terms the loss is the mean of: samples, or tokens. Where gradients are
    /// [accumulated](crate::TrainSettings::accumulate), it weighs by them, as one batch would.
    pub terms: usize,
}

/// Something that the one training loop can train: a model with a loss.
///
/// The loop offers batches and gets losses, one for each optimiser step. An ordinary objective answers each batch with its loss
/// ([`offer`](Self::offer)). A search may hold samples back and answer later ([`next_loss`](Self::next_loss)), and is drained at the
/// end of each epoch, so that every sample is trained on exactly once an epoch.
pub trait Objective {
    /// What can go wrong.
    type Error: From<Error>;

    /// The parameters to train.
    fn parameters(&self) -> &Parameters;

    /// Refuses samples that cannot be trained or scored on: called with the training and the validation samples before a training
    /// begins or goes on, so that nothing fails at its end. By default none.
    ///
    /// # Errors
    /// The implementor's, with the row.
    fn check_data(&self, _data: &EncodedDataset) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Called once before the first batch of a training (not of a resumed one).
    ///
    /// # Errors
    /// The implementor's.
    fn prepare(&mut self, _training: &EncodedDataset, _progress: Progress) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Takes the next batch of the stream, and returns its loss; `None` for a batch without a loss, and where samples are held
    /// back.
    ///
    /// # Errors
    /// The implementor's.
    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>, Self::Error>;

    /// The next loss of samples that were held back; `None` when more batches are needed, or with `drain`, when nothing is held
    /// back any more. By default nothing ever is.
    ///
    /// # Errors
    /// The implementor's.
    fn next_loss(&mut self, _progress: Progress, _drain: bool) -> Result<Option<StepLoss>, Self::Error> {
        Ok(None)
    }

    /// Whether this error says that the device's memory did not hold a batch, and the batch may be offered again in parts, whose
    /// gradients are added up. By default never: right where a loss is of more than the samples of one batch.
    fn may_split(_: &Self::Error) -> bool {
        false
    }

    /// How well it does on these samples, the more the better: after each epoch on the validation samples, to tell which
    /// epoch was best. A classifier's is the macro F1 of its predictions, [`macro_f1`](crate::train::metrics::macro_f1).
    ///
    /// # Errors
    /// The implementor's.
    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64, Self::Error>;

    /// Name of the [`score`](Self::score), as in "validation macro F1".
    fn metric(&self) -> &'static str {
        "macro F1"
    }

    /// Whether what it is now may be kept as the best of a training: not while it is still to become another model.
    fn may_be_best(&self) -> bool {
        true
    }

    /// Everything beside the parameters that a resumed training needs.
    ///
    /// # Errors
    /// The implementor's.
    fn state(&self) -> Result<serde_json::Value, Self::Error>;

    /// The settings in which a stored [`state`](Self::state) is not of this objective; a training that went on from it
    /// would be neither's. By default none: right where a state holds no settings.
    ///
    /// # Errors
    /// The implementor's.
    fn differences(&self, _state: &serde_json::Value) -> Result<Vec<SettingMismatch>, Self::Error> {
        Ok(Vec::new())
    }

    /// Takes up a state that [`state`](Self::state) gave. Samples held back are found again in `training`.
    ///
    /// # Errors
    /// The implementor's.
    fn restore(&mut self, state: serde_json::Value, training: &EncodedDataset) -> Result<(), Self::Error>;

    /// Takes up the state of the best epoch, whose parameters have just been put back. By default the state that the
    /// training ended with stays: right where the state is only a matter of training.
    ///
    /// # Errors
    /// The implementor's.
    fn restore_best(&mut self, _state: serde_json::Value) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// An objective that gives each sample one class.
pub trait Predict: Objective {
    /// The class of each sample. All batches of one evaluation come with one `pass`, which keeps the weights as the
    /// products want them from batch to batch.
    ///
    /// # Errors
    /// The implementor's.
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Vec<u32>, Self::Error>;
}
