//! What a searched model is trained by.

use std::fmt::Debug;

use candle_core::Tensor;
use dht_transformer::tensors::{Hidden, cross_entropy, soft_cross_entropy};
use dht_transformer::{ForwardContext, PackedBatch, TextClassifier};

use crate::error::{Error, Result};

/// The loss of the task, beside which the cost stands.
pub trait TaskLoss: Debug {
    /// The mean over a batch, from the hidden rows after the last layer and the logits of the gated model.
    ///
    /// # Errors
    /// The implementor's.
    fn loss(&self, hidden: &Hidden, logits: &Tensor, batch: &PackedBatch) -> Result<Tensor>;
}

/// −log softmax(z)ₗ of the labels: the report's.
#[derive(Debug, Clone, Copy, Default)]
pub struct LabelLoss;

impl TaskLoss for LabelLoss {
    fn loss(&self, _: &Hidden, logits: &Tensor, batch: &PackedBatch) -> Result<Tensor> {
        Ok(cross_entropy(logits, &batch.labels)?.mean_all()?)
    }
}

/// τ²·KL(softmax(t/τ) ‖ softmax(z/τ)) of a teacher's logits t: TinyBERT's prediction distillation (Jiao et al. 2020).
#[derive(Debug)]
pub struct SoftLabelLoss {
    teacher: TextClassifier,
    temperature: f64,
    ctx: ForwardContext,
}

impl SoftLabelLoss {
    /// From a teacher, of which a handle is kept; it runs without gradient and dropout.
    ///
    /// # Errors
    /// [`Error::Setting`] for a temperature that is not above 0.
    pub fn new(teacher: &TextClassifier, temperature: f64) -> Result<Self> {
        match temperature > 0.0 && temperature.is_finite() {
            true => Ok(Self { teacher: teacher.clone(), temperature, ctx: ForwardContext::inference() }),
            false => Err(Error::setting("temperature", "a finite number above 0", temperature)),
        }
    }
}

impl TaskLoss for SoftLabelLoss {
    fn loss(&self, _: &Hidden, logits: &Tensor, batch: &PackedBatch) -> Result<Tensor> {
        let teacher = self.teacher.logits(batch, &self.ctx)?;
        Ok(soft_cross_entropy(logits, &teacher, self.temperature)?.mean_all()?)
    }
}
