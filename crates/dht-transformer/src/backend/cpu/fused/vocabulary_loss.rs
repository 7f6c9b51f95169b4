//! Mean cross-entropy after a decoder (a linear layer onto the vocabulary) as one fused CPU operation.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::apply::apply;
use super::slices::nothing_saved;
use crate::backend::context::ForwardContext;
use crate::backend::cpu::kernels::{VocabularyLossGradients, decoder_cross_entropy};
use crate::backend::parameters::LinearParameters;
use crate::tensors::{Gradient, slice, with_slices};

/// Fused operation that computes the mean cross-entropy of the logits x·Wᵀ + b.
pub(crate) struct VocabularyLossOp {
    decoder: LinearParameters,
    targets: Vec<u32>,
    ctx: ForwardContext,
    gradients: Mutex<Option<VocabularyLossGradients<f32>>>,
}

impl VocabularyLossOp {
    /// Computes the mean loss, (rows, inputs) → scalar. There must be at least one row, and every target must be below
    /// `decoder.outputs`.
    pub(crate) fn run(
        x: &Tensor,
        decoder: &LinearParameters,
        targets: &[u32],
        ctx: &ForwardContext,
    ) -> crate::error::Result<Tensor> {
        let op =
            Self { decoder: decoder.clone(), targets: targets.to_vec(), ctx: ctx.clone(), gradients: Mutex::new(None) };
        apply(x, op, decoder.trains(), ctx)
    }
}

impl CustomOp2 for VocabularyLossOp {
    fn name(&self) -> &'static str {
        "decoder loss"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_layout: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(x, x_layout)?;
        let (loss, gradients) = with_slices(&[self.decoder.weight.var(), self.decoder.bias.var()], |slices| {
            Ok(decoder_cross_entropy(x, slices[0], slices[1], &self.targets, self.ctx.is_training()))
        })?;
        if let Ok(mut place) = self.gradients.lock() {
            *place = gradients;
        }
        Ok((CpuStorage::F32(vec![loss]), Shape::from(())))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        if self.decoder.trains() {
            self.ctx.check_in_backward(self.name())?;
        }
        let gradients = self.gradients.lock().ok().and_then(|mut place| place.take());
        let VocabularyLossGradients { mut dx, mut weight, mut bias } =
            gradients.ok_or_else(|| nothing_saved(self.name()))?;
        let scale = dy.to_scalar::<f32>()?;
        for numbers in [&mut dx, &mut weight, &mut bias].into_iter().filter(|_| scale != 1.0) {
            numbers.iter_mut().for_each(|number| *number *= scale);
        }
        for (parameter, gradient) in [(&self.decoder.weight, weight), (&self.decoder.bias, bias)] {
            if !parameter.is_frozen() {
                self.ctx.accumulate(parameter.id(), Gradient::Dense(gradient));
            }
        }
        Ok((x.track_op().then(|| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?, None))
    }
}
