//! Activation functions that a configuration names.

use serde::{Deserialize, Serialize};

/// Activation function between the two linear layers of a feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Activation {
    /// x·Φ(x), Φ the distribution function of the standard normal (Hendrycks & Gimpel 2016): BERT's `gelu`.
    #[default]
    #[serde(rename = "gelu")]
    Gelu,
    /// ½x(1 + tanh(√(2/π)(x + 0.044715x³))): `gelu_new`, also called `gelu_pytorch_tanh`.
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh")]
    GeluNew,
    /// max(0, x).
    #[serde(rename = "relu")]
    Relu,
}

/// Activation function between the two linear layers of a classifier's head.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HeadActivation {
    Tanh,
    Relu,
}
