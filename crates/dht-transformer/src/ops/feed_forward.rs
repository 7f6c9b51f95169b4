//! The feed-forward half of a block on slices, with the tensors of its weights.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::slices::with_slices;
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
#[derive(Debug)]
pub(crate) struct FeedForwardHalf {
    parameters: FeedForwardParameters,
    packing: Arc<Packing>,
    width: usize,
    dropout: Option<Dropout>,
}

impl FeedForwardHalf {
    /// The half with its first `width` neurons.
    pub(crate) fn new(
        packing: &Arc<Packing>,
        parameters: &FeedForwardParameters,
        width: usize,
        dropout: Option<Dropout>,
    ) -> Self {
        Self { parameters: parameters.clone(), packing: packing.clone(), width, dropout }
    }

    /// The parameter that stands for the half where something must.
    pub(crate) fn anchor(&self) -> &Parameter {
        &self.parameters.scale
    }

    /// Whether any of its parameters is trained.
    pub(crate) fn trains(&self) -> bool {
        self.parameters.trains()
    }

    /// (tokens, hidden) → (tokens, hidden), and with `keep` what the backward needs.
    pub(crate) fn forward(&self, x: &[f32], keep: bool) -> Result<(Vec<f32>, Option<FeedForwardSaved<f32>>)> {
        self.with_weights(|weights| feed_forward_half(x, weights, self.dropout(), keep))
    }

    /// Adds the gradients of the weights to the pass; gives that of `x` where it is asked for.
    pub(crate) fn backward(
        &self,
        x: &[f32],
        dy: &[f32],
        saved: FeedForwardSaved<f32>,
        input_needed: bool,
        pass: &Pass,
    ) -> Result<Option<Vec<f32>>> {
        let needs = (self.trains(), input_needed);
        let gradients = self
            .with_weights(|weights| feed_forward_half_backward(x, dy, saved, weights, self.dropout(), needs))?;
        if let Some(weights) = gradients.weights {
            let p = &self.parameters;
            if self.width == p.neurons {
                pass.accumulate(p.up.id(), Gradient::Dense(weights.up));
                pass.accumulate(p.up_bias.id(), Gradient::Dense(weights.up_bias));
                pass.accumulate(p.down.id(), Gradient::Dense(weights.down));
            } else {
                let ran: Vec<usize> = (0..self.width).collect();
                let every: Vec<usize> = (0..p.hidden).collect();
                pass.accumulate_block(p.up.id(), [p.neurons, p.hidden], &ran, &every, &weights.up);
                pass.accumulate_block(p.up_bias.id(), [p.neurons, 1], &ran, &[0], &weights.up_bias);
                pass.accumulate_block(p.down.id(), [p.hidden, p.neurons], &every, &ran, &weights.down);
            }
            pass.accumulate(p.down_bias.id(), Gradient::Dense(weights.down_bias));
            pass.accumulate(p.scale.id(), Gradient::Dense(weights.scale));
            pass.accumulate(p.shift.id(), Gradient::Dense(weights.shift));
        }
        Ok(gradients.dx)
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
