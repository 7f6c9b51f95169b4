//! Interface between the model and a device: the operations that a device backend implements.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::adamw::Moments;
use super::composed::{DeviceMoments, Operations, sums_of_squares};
use super::context::ForwardContext;
use super::cpu::Dropout;
use super::layer::{Layer, LayerAttention};
use super::parameters::{EmbeddingParameters, LinearParameters, TokenIds};
use crate::error::{Error, Result};
use crate::tensors::{Gradient, HeadSet, Hidden, Packing, Precision, cross_entropy};

/// Device backend: the arithmetic of the model and its optimiser on one kind of device. An operation that the device
/// does not implement itself is composed of candle's operations.
///
/// Gradients of weights pass either through candle's graph or to the [`ForwardContext`]. Its backward pass collects
/// both kinds.
pub(crate) trait Backend: Sync {
    /// Precisions in which the device can run layers, and a description of them for error messages.
    fn precisions(&self) -> (&'static [Precision], &'static str);

    /// Differentiable operations from which layers are composed on this device.
    fn operations(&self) -> Operations {
        Operations::CANDLE
    }

    /// Computes the embeddings dropout(LayerNorm(word + position + type)), shape (tokens, hidden). Every id must be a
    /// valid row of its table.
    fn embed(
        &self,
        ids: TokenIds,
        packing: &Arc<Packing>,
        parameters: &EmbeddingParameters,
        dropout: Option<Dropout>,
        _ctx: &ForwardContext,
    ) -> Result<Tensor> {
        self.operations().embed(&ids, packing, parameters, dropout)
    }

    /// Runs consecutive encoder layers, (tokens, hidden) → (tokens, hidden). With an empty slice it is the identity.
    fn layers(&self, hidden: &Hidden, layers: &[Layer<'_>], ctx: &ForwardContext) -> Result<Hidden> {
        layers.iter().try_fold(hidden.clone(), |hidden, layer| self.operations().layer(&hidden, layer, ctx))
    }

    /// Computes attention scores Q·Kᵀ/√dim + bias before the softmax, shape (samples, heads, longest, longest). Scores
    /// at positions without a token are undefined. Attention with removed dimensions returns the scores of all its
    /// remaining heads.
    fn scores(
        &self,
        hidden: &Hidden,
        attention: LayerAttention<'_>,
        heads: HeadSet,
        _ctx: &ForwardContext,
    ) -> Result<Tensor> {
        self.operations().scores(hidden, attention, heads)
    }

    /// Computes x·Wᵀ + b in single precision: (rows, inputs) → (rows, outputs).
    fn linear(&self, x: &Tensor, parameters: &LinearParameters, _ctx: &ForwardContext) -> Result<Tensor> {
        self.operations().linear_in_f32(x, parameters)
    }

    /// Computes the mean cross-entropy of x·Wᵀ + b against `targets`, in nats: a scalar. There must be at least one
    /// row, and every target must be below `decoder.outputs`.
    fn vocabulary_loss(
        &self,
        x: &Tensor,
        decoder: &LinearParameters,
        targets: &[u32],
        ctx: &ForwardContext,
    ) -> Result<Tensor> {
        Ok(cross_entropy(&self.linear(x, decoder, ctx)?, targets)?.mean_all()?)
    }

    fn check(&self, precision: Precision) -> Result<()> {
        let (possible, names) = self.precisions();
        match possible.contains(&precision) {
            true => Ok(()),
            false => Err(Error::argument("precision", names, precision.to_string())),
        }
    }

    /// Converts the rows at the start of a forward pass to the precision in which layers run.
    fn begin(&self, rows: Tensor, precision: Precision) -> Result<Tensor> {
        self.check(precision)?;
        Ok(if precision == Precision::Bf16 { rows.to_dtype(DType::BF16)? } else { rows })
    }

    /// Converts a gradient tensor from candle's graph to this crate's [`Gradient`].
    fn gradient(&self, gradient: &Tensor) -> Result<Gradient> {
        Ok(Gradient::Device(gradient.clone()))
    }

    /// Creates the AdamW moments of a parameter with this shape. Without `values`, both moments are zeros.
    fn moments(&self, values: Option<[Vec<f32>; 2]>, shape: &[usize], device: &Device) -> Result<Box<dyn Moments>> {
        Ok(Box::new(DeviceMoments::new(values, shape, device)?))
    }

    /// Computes Σ x² of each tensor with one transfer from the device. There must be at least one tensor, and all must
    /// be in f32.
    fn sums_of_squares(&self, tensors: &[Tensor]) -> Result<Vec<f64>> {
        sums_of_squares(tensors)
    }

    /// Releases the device memory that the backend caches but does not use.
    fn release_memory(&self, _device: &Device) -> Result<()> {
        Ok(())
    }
}
