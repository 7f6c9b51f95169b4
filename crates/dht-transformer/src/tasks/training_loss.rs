//! Loss of a classifier's training that replaces the loss of its task.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use candle_core::Tensor;

use crate::data::PackedBatch;
use crate::error::Result;
use crate::tensors::cross_entropy;

type Loss = dyn Fn(&Tensor, &PackedBatch) -> Result<Tensor> + Send + Sync;

/// Function of logits, (samples, outputs), and their batch, that returns the mean loss of the batch, a scalar.
#[derive(Clone)]
pub(super) struct TrainingLoss(Arc<Loss>);

impl TrainingLoss {
    pub(super) fn new(loss: impl Fn(&Tensor, &PackedBatch) -> Result<Tensor> + Send + Sync + 'static) -> Self {
        Self(Arc::new(loss))
    }

    /// Cross-entropy with a weight for each class: Σ w(class)·loss / Σ w(class).
    pub(super) fn weighted(weights: Vec<f32>) -> Self {
        Self::new(move |logits, batch| {
            let losses = cross_entropy(logits, &batch.labels)?;
            let weights: Vec<f32> = batch.labels.iter().map(|label| weights[*label as usize]).collect();
            let sum: f32 = weights.iter().sum();
            let weights = Tensor::from_vec(weights, batch.len(), logits.device())?;
            Ok(((losses.to_dtype(weights.dtype())? * weights)?.sum_all()? / f64::from(sum))?)
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
