//! The arm of the highest value, ties broken at random.

use crate::gaussian::Score;
use rand::{Rng, RngExt};

/// The highest value so far; equal ones are kept with equal probability.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Best {
    pub(crate) slot: usize,
    pub(crate) value: f64,
    pub(crate) score: Score,
    pub(crate) ties: u32,
}

impl Best {
    pub(crate) fn new() -> Self {
        Self { slot: 0, value: f64::NEG_INFINITY, score: Score { mean: 0.0, width: 0.0 }, ties: 0 }
    }

    /// The better of the best so far and this one.
    #[inline(always)]
    pub(crate) fn or<R: Rng + ?Sized>(self, slot: usize, value: f64, score: Score, rng: &mut R) -> Self {
        if value < self.value {
            self
        } else if value == self.value {
            let ties = self.ties + 1;
            if wins_tie(ties, rng) { Self { slot, value, score, ties } } else { Self { ties, ..self } }
        } else if self.value.is_nan() {
            self
        } else {
            // A NaN wins and stays the best, so that the caller sees it.
            Self { slot, value, score, ties: 1 }
        }
    }
}

/// Whether the last of so many equals is taken. Out of line: a generator in the loop over arms would cost it its
/// registers.
#[cold]
#[inline(never)]
fn wins_tie<R: Rng + ?Sized>(ties: u32, rng: &mut R) -> bool {
    rng.random_range(0..ties) == 0
}
