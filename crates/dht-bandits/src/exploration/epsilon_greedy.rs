//! ε-greedy exploration.

use super::rule::{Exploration, mean_if_finite};
use crate::error::Result;
use crate::gaussian::Score;
use crate::validate::check_parameter;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// ε-greedy: the highest mean, and with probability ε an arm drawn uniformly. An arm is chosen with probability ε/K +
/// (1 − ε)·\[best\]; ties share the second term.
///
/// ε = 0 never explores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpsilonGreedy {
    /// Fraction ε in [0, 1] of rounds that draw uniformly.
    pub epsilon: f64,
}

impl Exploration for EpsilonGreedy {
    const NAME: &'static str = "epsilon-greedy";

    #[inline]
    fn value<R: Rng + ?Sized>(&self, score: Score, _: &mut R) -> f64 {
        mean_if_finite(score)
    }

    #[inline]
    fn uniform_share(&self, _: u64) -> f64 {
        self.epsilon
    }

    fn check(&self) -> Result<()> {
        check_parameter("epsilon", self.epsilon, (0.0..=1.0).contains(&self.epsilon), "in [0, 1]")
    }
}
