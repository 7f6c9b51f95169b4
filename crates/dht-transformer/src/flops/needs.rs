//! Selection of the gradients that a backward pass must compute.

use serde::{Deserialize, Serialize};

/// Gradients that the backward pass of a layer must compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackwardNeeds {
    /// `true` to compute the gradients of the weights; `false` in frozen layers.
    pub weight_gradients: bool,
    /// `true` to compute the gradient of the layer's input, which trained parameters below the layer require.
    pub input_gradient: bool,
}

impl BackwardNeeds {
    /// Gradients for a trained layer above other trained weights: both.
    pub const ALL: Self = Self { weight_gradients: true, input_gradient: true };
    /// Gradients for the lowest trained layer: weights only.
    pub const WEIGHTS_ONLY: Self = Self { weight_gradients: true, input_gradient: false };
    /// Gradients for a frozen layer above trained weights: input only.
    pub const INPUT_ONLY: Self = Self { weight_gradients: false, input_gradient: true };

    /// Cost of a linear layer's backward pass as a multiple of its forward pass. `input` is true if the gradient of the
    /// layer's input is needed.
    pub(crate) fn products(self, input: bool) -> u64 {
        u64::from(self.weight_gradients) + u64::from(input)
    }

    pub(crate) fn any(self) -> bool {
        self.weight_gradients || self.input_gradient
    }
}
