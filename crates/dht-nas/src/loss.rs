//! Task losses for training a searched model.

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

/// Outputs of the forward pass of one batch through a model with gates on its units.
#[derive(Debug, Clone)]
pub struct GatedRun {
    /// Hidden states after the embedding layer.
    pub embedded: Hidden,
    /// Hidden states and attention scores of each layer.
    pub layers: Vec<LayerRecord>,
    /// Logits of the batch, shape (samples, classes).
    pub logits: Tensor,
}

/// Task loss of an architecture search, such as cross-entropy or distillation. The search adds its cost term to it.
pub trait TaskLoss: Debug {
    /// Mean loss over a batch.
    ///
    /// # Errors
    /// Returns an error if the implementation cannot compute the loss.
    fn loss(&self, run: &GatedRun, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Tensor>;
}

/// Cross-entropy of the labels: −log softmax(z)ₗ for the label l and the logits z. The report on differentiable search
/// for BERT trains the architecture variables α by this loss ([`GateLoss::Labels`](crate::GateLoss::Labels)).
#[derive(Debug, Clone, Copy, Default)]
pub struct LabelLoss;

impl TaskLoss for LabelLoss {
    fn loss(&self, run: &GatedRun, batch: &PackedBatch, _: &ForwardContext) -> Result<Tensor> {
        Ok(cross_entropy(&run.logits, &batch.labels)?.mean_all()?)
    }
}

/// Soft-label distillation: τ²·KL(softmax(t/τ) ‖ softmax(z/τ)) for a teacher's logits t, the model's logits z and the
/// temperature τ. This is TinyBERT's prediction distillation (Jiao et al. 2020).
#[derive(Debug)]
pub struct SoftLabelLoss {
    teacher: TextClassifier,
    temperature: f64,
    cached: Option<Arc<TeacherLogits>>,
    ctx: ForwardContext,
}

impl SoftLabelLoss {
    /// Creates the loss with a teacher, whose weights are shared and not copied. The teacher runs without gradients and
    /// dropout.
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

    /// Adds cached logits of the teacher. The teacher does not run for texts with cached logits.
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

/// TinyBERT's distillation of intermediate layers. Its projections (from the student's to the teacher's width) are
/// trained with the searched model.
impl TaskLoss for IntermediateLoss {
    fn loss(&self, run: &GatedRun, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Tensor> {
        Ok(self.of_records(&run.embedded, &run.layers, batch, ctx)?)
    }
}
