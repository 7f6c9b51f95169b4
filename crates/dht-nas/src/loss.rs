//! Losses for training a searched model.

use std::fmt::Debug;
use std::sync::Arc;

use candle_core::Tensor;
use dht_transformer::model::LayerRecord;
use dht_transformer::tasks::{IntermediateLoss, TeacherLogits};
use dht_transformer::{ForwardContext, PackedBatch, TextClassifier};
use dht_transformer::{
    Hidden,
    tensors::{cross_entropy, soft_cross_entropy},
};

use crate::error::{Error, Result};

/// Record of the forward pass of one batch through gates.
#[derive(Debug, Clone)]
pub struct GatedRun {
    /// Hidden states after the embeddings.
    pub embedded: Hidden,
    /// Hidden states and attention scores of each layer.
    pub layers: Vec<LayerRecord>,
    /// Logits of the batch, shape (samples, classes).
    pub logits: Tensor,
}

/// Task loss of a search, to which the cost term is added.
pub trait TaskLoss: Debug {
    /// Mean loss over a batch.
    ///
    /// # Errors
    /// Errors of the implementation.
    fn loss(&self, run: &GatedRun, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Tensor>;
}

/// Cross-entropy −log softmax(z)ₗ of the label l with the logits z. The report on differentiable search for BERT trains
/// the architecture variables α with this loss ([`GateLoss::Labels`](crate::GateLoss::Labels)).
#[derive(Debug, Clone, Copy, Default)]
pub struct LabelLoss;

impl TaskLoss for LabelLoss {
    fn loss(&self, run: &GatedRun, batch: &PackedBatch, _: &ForwardContext) -> Result<Tensor> {
        Ok(cross_entropy(&run.logits, &batch.labels)?.mean_all()?)
    }
}

/// Soft-label loss τ²·KL(softmax(t/τ) ‖ softmax(z/τ)) between a teacher's logits t and the model's logits z. With the
/// temperature τ, this loss is TinyBERT's prediction distillation (Jiao et al. 2020).
#[derive(Debug)]
pub struct SoftLabelLoss {
    teacher: TextClassifier,
    temperature: f64,
    cached: Option<Arc<TeacherLogits>>,
    ctx: ForwardContext,
}

impl SoftLabelLoss {
    /// Builds the loss with a handle on the teacher's weights. The teacher runs without gradient and dropout.
    ///
    /// # Errors
    /// [`Error::Argument`] if the temperature is not above 0.
    pub fn new(teacher: &TextClassifier, temperature: f64) -> Result<Self> {
        match temperature > 0.0 && temperature.is_finite() {
            true => {
                let (teacher, ctx) = (teacher.clone(), ForwardContext::inference());
                Ok(Self { teacher, temperature, cached: None, ctx })
            }
            false => Err(Error::argument("temperature", "a finite number above 0", temperature)),
        }
    }

    /// Adds cached logits of the teacher, which does not run on texts whose logits are cached.
    #[must_use]
    pub fn with_logits(self, logits: Arc<TeacherLogits>) -> Self {
        Self { cached: Some(logits), ..self }
    }
}

impl TaskLoss for SoftLabelLoss {
    fn loss(&self, run: &GatedRun, batch: &PackedBatch, _: &ForwardContext) -> Result<Tensor> {
        let stored = self.cached.as_ref().map(|cached| cached.of_batch(batch)).transpose()?.flatten();
        let teacher = stored.map_or_else(|| self.teacher.logits(batch, &self.ctx), Ok)?;
        Ok(soft_cross_entropy(&run.logits, &teacher, self.temperature)?.mean_all()?)
    }
}

/// TinyBERT's intermediate distillation, whose projections are parameters of the searched model.
impl TaskLoss for IntermediateLoss {
    fn loss(&self, run: &GatedRun, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Tensor> {
        Ok(self.of_records(&run.embedded, &run.layers, batch, ctx)?)
    }
}
