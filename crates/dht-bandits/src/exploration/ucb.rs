//! Upper confidence bounds.

use super::rule::Exploration;
use crate::error::Result;
use crate::gaussian::Score;
use crate::validate::check_parameter;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// Upper confidence bound: mean + α·width (Li et al. 2010, Algorithm 1, line 9).
///
/// α = 0 is greedy. The regret bound is proved for α = 1 + √(ln(2/δ)/2). In practice α is .1 to 1 for rewards of unit
/// scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ucb {
    /// Exploration factor α ≥ 0.
    pub alpha: f64,
}

impl Exploration for Ucb {
    const NAME: &'static str = "ucb";

    #[inline]
    fn value<R: Rng + ?Sized>(&self, score: Score, _: &mut R) -> f64 {
        score.mean + self.alpha * score.width
    }

    fn check(&self) -> Result<()> {
        check_parameter("alpha", self.alpha, self.alpha >= 0.0, "at least 0")
    }
}
