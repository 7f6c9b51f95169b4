//! FLOPs of a forward or backward pass, by part of the model.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use super::count::FlopCount;

/// FLOPs of a forward or backward pass, by part of the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakdown {
    /// FLOPs of the projections to Q, K and V.
    pub projections: FlopCount,
    /// FLOPs of attention scores and contexts.
    pub attention: FlopCount,
    /// FLOPs of the projection from the heads back to the hidden size.
    pub output: FlopCount,
    /// FLOPs of both linear layers of the feed-forward.
    pub feed_forward: FlopCount,
    /// FLOPs of pooler and classifier.
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
