//! Custom loss that replaces the loss of a classifier's task in training.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use candle_core::Tensor;

use crate::data::PackedBatch;
use crate::error::Result;
use crate::tensors::cross_entropy;

type Loss = dyn Fn(&Tensor, &PackedBatch) -> Result<Tensor> + Send + Sync;

/// Custom loss function of a classifier. It computes the mean loss of a batch, a scalar, from the logits (samples,
/// outputs) and the batch.
#[derive(Clone)]
pub(super) struct TrainingLoss(Arc<Loss>);

impl TrainingLoss {
    pub(super) fn new(loss: impl Fn(&Tensor, &PackedBatch) -> Result<Tensor> + Send + Sync + 'static) -> Self {
        Self(Arc::new(loss))
    }

    /// Creates a cross-entropy loss with a weight for each class: the mean of w(class)·loss over the samples of a batch.
    pub(super) fn weighted(weights: Vec<f32>) -> Self {
        Self::new(move |logits, batch| {
            let losses = cross_entropy(logits, &batch.labels)?;
            let weights: Vec<f32> = batch.labels.iter().map(|label| weights[*label as usize]).collect();
            let weights = Tensor::from_vec(weights, batch.len(), logits.device())?;
            Ok((losses.to_dtype(weights.dtype())? * weights)?.mean_all()?)
        })
    }

    pub(super) fn compute(&self, logits: &Tensor, batch: &PackedBatch) -> Result<Tensor> {
        (self.0)(logits, batch)
    }
}

impl Debug for TrainingLoss {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("TrainingLoss")
    }
}
