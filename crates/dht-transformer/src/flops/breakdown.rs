//! Operations by the part that runs them.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use super::count::FlopCount;

/// FLOPs by the part of the model that spends them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakdown {
    /// Q, K and V.
    pub projections: FlopCount,
    /// Scores and context.
    pub attention: FlopCount,
    /// The projection from the heads back to the hidden size.
    pub output: FlopCount,
    /// Both linear layers of the feed-forward.
    pub feed_forward: FlopCount,
    /// Pooler and classifier.
    pub head: FlopCount,
}

impl Breakdown {
    /// The sum of the parts.
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
