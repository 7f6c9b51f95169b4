//! Which gradients of a backward are wanted.

use serde::{Deserialize, Serialize};

/// Which gradients a backward pass computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackwardNeeds {
    /// Of the weights: false in frozen layers.
    pub weight_gradients: bool,
    /// Of what came in: true when something below is trained.
    pub input_gradient: bool,
}

impl BackwardNeeds {
    /// Trained weights with trained weights below.
    pub const ALL: Self = Self { weight_gradients: true, input_gradient: true };
    /// The lowest trained layer.
    pub const WEIGHTS_ONLY: Self = Self { weight_gradients: true, input_gradient: false };
    /// A frozen layer above trained ones.
    pub const INPUT_ONLY: Self = Self { weight_gradients: false, input_gradient: true };

    /// The backward of a linear layer in multiples of its forward; `input` says whether its input's gradient is wanted.
    pub(crate) fn products(self, input: bool) -> u64 {
        u64::from(self.weight_gradients) + u64::from(input)
    }

    pub(crate) fn any(self) -> bool {
        self.weight_gradients || self.input_gradient
    }
}
