//! Gradients that a backward pass has to compute, which determine its FLOPs.

use serde::{Deserialize, Serialize};

/// Gradients that the backward pass of a layer has to compute: of its weights, of its input, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackwardNeeds {
    /// `true` to compute the gradients of the weights; `false` in frozen layers.
    pub weight_gradients: bool,
    /// `true` to compute the gradient of the layer's input. It is needed if parameters in layers below are trained.
    pub input_gradient: bool,
}

impl BackwardNeeds {
    /// Both gradients, for a trained layer above other trained layers.
    pub const ALL: Self = Self { weight_gradients: true, input_gradient: true };
    /// Gradients of the weights only, for the lowest trained layer.
    pub const WEIGHTS_ONLY: Self = Self { weight_gradients: true, input_gradient: false };
    /// Gradient of the input only, for a frozen layer above trained layers.
    pub const INPUT_ONLY: Self = Self { weight_gradients: false, input_gradient: true };

    /// Number of matrix products in the backward pass of a linear layer. `input` is `true` if the gradient of its input
    /// is needed.
    pub(crate) fn products(self, input: bool) -> u64 {
        u64::from(self.weight_gradients) + u64::from(input)
    }

    pub(crate) fn any(self) -> bool {
        self.weight_gradients || self.input_gradient
    }
}
