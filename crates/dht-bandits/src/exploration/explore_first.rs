//! Exploration first, exploitation afterwards.

use super::{Exploration, mean_if_finite};
use crate::error::Result;
use crate::gaussian::Score;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// Explore first: an arm drawn uniformly until so many rewards have been learned, the highest mean from then on (the
/// epoch-greedy algorithm of Langford & Zhang 2007 with a single epoch; regret O(T^⅔) with `rewards` ~ T^⅔).
///
/// Its first rounds are a log that every policy can be judged on. Afterwards nothing is explored: propensities are 1
/// and 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExploreFirst {
    /// How many rewards are learned from arms drawn uniformly.
    pub rewards: u64,
}

impl Exploration for ExploreFirst {
    const NAME: &'static str = "explore-first";

    #[inline]
    fn value<R: Rng + ?Sized>(&self, score: Score, _: &mut R) -> f64 {
        mean_if_finite(score)
    }

    fn uniform_share(&self, learned: u64) -> f64 {
        if learned < self.rewards { 1.0 } else { 0.0 }
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }
}
