//! Exploration first, exploitation afterwards.

use super::rule::{Exploration, mean_if_finite};
use crate::error::Result;
use crate::gaussian::Score;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// Explore first: an arm drawn uniformly until `rewards` rewards have been learned, then the highest mean. This is the
/// epoch-greedy algorithm of Langford & Zhang (2007) with a single epoch; its regret is O(T^⅔) with `rewards` ~ T^⅔.
///
/// Every policy can be evaluated on the log of its first rounds. Afterwards nothing is explored: propensities are 1 and
/// 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExploreFirst {
    /// Number of rewards to learn from arms drawn uniformly.
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
