//! Gradients that a backward pass must compute.

use serde::{Deserialize, Serialize};

/// Gradients that a backward pass computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackwardNeeds {
    /// Gradients of the weights: `false` in frozen layers.
    pub weight_gradients: bool,
    /// Gradient of the input: `true` if parameters below are trained.
    pub input_gradient: bool,
}

impl BackwardNeeds {
    /// Needs of a trained layer above other trained weights.
    pub const ALL: Self = Self { weight_gradients: true, input_gradient: true };
    /// Needs of the lowest trained layer.
    pub const WEIGHTS_ONLY: Self = Self { weight_gradients: true, input_gradient: false };
    /// Needs of a frozen layer above trained weights.
    pub const INPUT_ONLY: Self = Self { weight_gradients: false, input_gradient: true };

    /// Cost of the backward pass of a linear layer in multiples of its forward pass. `input` is true if the gradient of
    /// the layer's input is needed.
    pub(crate) fn products(self, input: bool) -> u64 {
        u64::from(self.weight_gradients) + u64::from(input)
    }

    pub(crate) fn any(self) -> bool {
        self.weight_gradients || self.input_gradient
    }
}
