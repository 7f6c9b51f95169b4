//! Numbers of texts, tokens and token pairs that a model processes.

use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};

use crate::tensors::Spans;

/// Numbers of texts, tokens and token pairs. They determine the FLOPs of an encoder block for a set of texts.
///
/// ```
/// use dht_transformer::flops::Load;
///
/// let load = Load::of_texts([2, 3]);
/// assert_eq!((load.samples, load.tokens, load.pairs), (2, 5, 4 + 9));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Number of texts (n in formulas).
    pub samples: u64,
    /// Number of tokens T = Σℓ, where ℓ is the length of a text without padding.
    pub tokens: u64,
    /// Number of token pairs Σℓ² that attend to one another, where ℓ is the length of a text.
    pub pairs: u64,
}

impl Load {
    /// Load of one text with `tokens` tokens.
    pub fn of_text(tokens: usize) -> Self {
        let tokens = tokens as u64;
        Self { samples: 1, tokens, pairs: tokens.saturating_mul(tokens) }
    }

    /// Load of several texts, each with its number of tokens in `lengths`.
    pub fn of_texts(lengths: impl IntoIterator<Item = usize>) -> Self {
        lengths.into_iter().map(Self::of_text).sum()
    }
}

impl From<&Spans> for Load {
    fn from(spans: &Spans) -> Self {
        Self::of_texts(spans.lengths())
    }
}

impl Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            samples: self.samples.saturating_add(other.samples),
            tokens: self.tokens.saturating_add(other.tokens),
            pairs: self.pairs.saturating_add(other.pairs),
        }
    }
}

impl Sum for Load {
    fn sum<I: Iterator<Item = Self>>(loads: I) -> Self {
        loads.fold(Self::default(), Add::add)
    }
}
