//! FLOPs of a forward or backward pass for each part of a model.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use super::count::FlopCount;

/// FLOPs of a forward or backward pass for each part of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakdown {
    /// FLOPs of the projections of hidden states to Q, K and V.
    pub projections: FlopCount,
    /// FLOPs of attention itself: the scores Q·Kᵀ, and the products of the probabilities with V.
    pub attention: FlopCount,
    /// FLOPs of the attention output projection, from the heads back to the hidden size.
    pub output: FlopCount,
    /// FLOPs of both linear layers of the feed-forward sublayer.
    pub feed_forward: FlopCount,
    /// FLOPs of the pooler and the classifier ("classification head").
    pub head: FlopCount,
}

impl Breakdown {
    /// Sum of all parts.
    pub fn total(&self) -> FlopCount {
        self.projections + self.attention + self.output + self.feed_forward + self.head
    }
}

impl Add for Breakdown {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            projections: self.projections + other.projections,
            attention: self.attention + other.attention,
            output: self.output + other.output,
            feed_forward: self.feed_forward + other.feed_forward,
            head: self.head + other.head,
        }
    }
}

impl AddAssign for Breakdown {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Breakdown {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Add::add)
    }
}
