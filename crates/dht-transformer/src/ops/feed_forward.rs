//! The feed-forward half of a block as one operation.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::slices::{nothing_saved, rows, slice, with_slices};
use crate::kernels::activation::Activation;
use crate::kernels::blocks::{FeedForwardSaved, FeedForwardWeights, feed_forward_half, feed_forward_half_backward};
use crate::kernels::dropout::Dropout;
use crate::kernels::norm::{Norm, RowKeys};
use crate::parameters::{Gradient, Parameter};
use crate::{Packing, Pass};

/// The parameters of a feed-forward half: `up` is (ffn, hidden), `down` (hidden, ffn).
#[derive(Debug, Clone)]
pub(crate) struct FeedForwardParameters {
    pub(crate) up: Parameter,
    pub(crate) up_bias: Parameter,
    pub(crate) down: Parameter,
    pub(crate) down_bias: Parameter,
    pub(crate) scale: Parameter,
    pub(crate) shift: Parameter,
    pub(crate) epsilon: f64,
    pub(crate) hidden: usize,
    pub(crate) neurons: usize,
    pub(crate) activation: Activation,
}

impl FeedForwardParameters {
    fn tensors(&self) -> [&Tensor; 6] {
        [&self.up, &self.up_bias, &self.down, &self.down_bias, &self.scale, &self.shift].map(|p| p.var().as_tensor())
    }

    /// Whether any of them is trained.
    pub(crate) fn trains(&self) -> bool {
        let all = [&self.up, &self.up_bias, &self.down, &self.down_bias, &self.scale, &self.shift];
        !all.iter().all(|p| p.is_frozen())
    }
}

/// y = LayerNorm(x + dropout(f(x·W₁ᵀ + b₁)·W₂ᵀ + b₂)) with the first `width` neurons.
pub(crate) struct FeedForwardOp {
    parameters: FeedForwardParameters,
    packing: Arc<Packing>,
    width: usize,
    pass: Pass,
    dropout: Option<Dropout>,
    saved: Mutex<Option<FeedForwardSaved<f32>>>,
}

impl FeedForwardOp {
    /// Runs the half on `x` (tokens, hidden) with the first `width` neurons.
    pub(crate) fn run(
        x: &Tensor,
        packing: &Arc<Packing>,
        parameters: &FeedForwardParameters,
        width: usize,
        dropout: Option<Dropout>,
        pass: &Pass,
    ) -> crate::Result<Tensor> {
        let (anchor, trains) = (parameters.scale.clone(), parameters.trains());
        let op = Self {
            parameters: parameters.clone(),
            packing: packing.clone(),
            width,
            pass: pass.clone(),
            dropout,
            saved: Mutex::new(None),
        };
        super::apply(x, &anchor, op, trains, pass)
    }

    fn dropout(&self) -> Option<(Dropout, RowKeys<'_>)> {
        let keys = RowKeys { samples: self.packing.row_samples(), tokens: self.packing.row_tokens() };
        self.dropout.map(|dropout| (dropout, keys))
    }

    fn with_weights<R>(&self, f: impl FnOnce(FeedForwardWeights<'_, f32>) -> R) -> Result<R> {
        with_slices(&self.parameters.tensors(), |slices| {
            Ok(f(FeedForwardWeights {
                up: slices[0],
                up_bias: slices[1],
                down: slices[2],
                down_bias: slices[3],
                norm: Norm { scale: slices[4], shift: slices[5], epsilon: self.parameters.epsilon },
                activation: self.parameters.activation,
                width: self.width,
            }))
        })
    }
}

impl CustomOp2 for FeedForwardOp {
    fn name(&self) -> &'static str {
        "feed-forward half"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_layout: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(x, x_layout)?;
        let keep = self.pass.is_training();
        let (y, saved) = self.with_weights(|weights| feed_forward_half(x, weights, self.dropout(), keep))?;
        if let (Some(saved), Ok(mut place)) = (saved, self.saved.lock()) {
            *place = Some(saved);
        }
        Ok(rows(y, self.parameters.hidden))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let saved = self.saved.lock().ok().and_then(|mut place| place.take());
        let saved = saved.ok_or_else(|| nothing_saved(self.name()))?;
        let needs = (self.parameters.trains(), x.track_op());
        let dy = dy.contiguous()?;
        let gradients = with_slices(&[x, &dy], |slices| {
            self.with_weights(|weights| {
                feed_forward_half_backward(slices[0], slices[1], saved, weights, self.dropout(), needs)
            })
        })?;
        if let Some(weights) = gradients.weights {
            let p = &self.parameters;
            if self.width == p.neurons {
                self.pass.accumulate(p.up.id(), Gradient::Dense(weights.up));
                self.pass.accumulate(p.up_bias.id(), Gradient::Dense(weights.up_bias));
                self.pass.accumulate(p.down.id(), Gradient::Dense(weights.down));
            } else {
                let ran: Vec<usize> = (0..self.width).collect();
                let every: Vec<usize> = (0..p.hidden).collect();
                self.pass.accumulate_block(p.up.id(), [p.neurons, p.hidden], &ran, &every, &weights.up);
                self.pass.accumulate_block(p.up_bias.id(), [p.neurons, 1], &ran, &[0], &weights.up_bias);
                self.pass.accumulate_block(p.down.id(), [p.hidden, p.neurons], &every, &ran, &weights.down);
            }
            self.pass.accumulate(p.down_bias.id(), Gradient::Dense(weights.down_bias));
            self.pass.accumulate(p.scale.id(), Gradient::Dense(weights.scale));
            self.pass.accumulate(p.shift.id(), Gradient::Dense(weights.shift));
        }
        let dx = gradients.dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?;
        Ok((dx, None))
    }
}
