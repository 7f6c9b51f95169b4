//! Activation functions that a `config.json` can name.

use serde::{Deserialize, Serialize};

/// Activation function between the two linear layers of a feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Activation {
    /// Exact GELU, x·Φ(x), where Φ is the standard normal distribution function (Hendrycks & Gimpel 2016); `gelu` in
    /// BERT.
    #[default]
    #[serde(rename = "gelu")]
    Gelu,
    /// GELU approximated by ½x(1 + tanh(√(2/π)(x + 0.044715x³))); `gelu_new` or `gelu_pytorch_tanh`.
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh")]
    GeluNew,
    /// ReLU, max(0, x).
    #[serde(rename = "relu")]
    Relu,
}

/// Activation function between the two linear layers of a classification head.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HeadActivation {
    Tanh,
    Relu,
}
