//! The arm of the highest value, ties broken by lot.

use crate::policy::Score;
use rand::{Rng, RngExt};

/// The highest value so far; equal ones are kept with equal probability.
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

    #[inline(always)]
    pub(crate) fn offer<R: Rng + ?Sized>(&mut self, slot: usize, value: f64, score: Score, rng: &mut R) {
        // A value that is not a number wins once and for all, so that the caller sees it.
        if value > self.value || value.is_nan() {
            *self = Self { slot, value, score, ties: 1 };
        } else if value == self.value {
            self.ties += 1;
            if rng.random_range(0..self.ties) == 0 {
                (self.slot, self.score) = (slot, score);
            }
        }
    }
}
