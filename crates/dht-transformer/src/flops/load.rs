//! Load of a block: the numbers of texts, tokens and token pairs that it processes.

use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};

use crate::tensors::Spans;

/// Numbers of texts, tokens and token pairs, which determine a block's FLOPs for a set of texts.
///
/// ```
/// use dht_transformer::flops::Load;
///
/// let load = Load::of_texts([2, 3]);
/// assert_eq!((load.samples, load.tokens, load.pairs), (2, 5, 4 + 9));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Number of texts, n.
    pub samples: u64,
    /// Number of tokens, T = Σ ℓ, without padding.
    pub tokens: u64,
    /// Number of token pairs that attend to one another, Σ ℓ².
    pub pairs: u64,
}

impl Load {
    /// Load of one text with `tokens` tokens.
    pub fn of_text(tokens: usize) -> Self {
        let tokens = tokens as u64;
        Self { samples: 1, tokens, pairs: tokens.saturating_mul(tokens) }
    }

    /// Load of several texts with the lengths `lengths`, in tokens.
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
