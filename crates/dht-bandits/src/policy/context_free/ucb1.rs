//! UCB1, an upper-confidence-bound rule for policies without contexts.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::rule::sealed::Rule;
use super::rule::{ArmStatistics, ContextFreeRule};
use crate::error::Result;
use crate::policy::propensity::Law;
use crate::validate::{check_parameter, check_scalar};

/// UCB1 rule (Auer, Cesa-Bianchi & Fischer 2002, Figure 1). It chooses the arm with the highest mean + α·√(2 ln n/n_a),
/// where n counts all rewards and n_a the rewards of the arm. Arms without a reward come first. Ties are broken
/// uniformly at random.
///
/// ```
/// use dht_bandits::policy::{ContextFree, Ucb1};
/// use dht_bandits::{ArmId, Policy, Request};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut policy = ContextFree::new(2, Ucb1::default())?;
/// policy.update(ArmId::new(0), &[], 1.0, 1.0)?;
/// // The arm without a reward comes first.
/// let choice = policy.select(&Request::new(&[]), &mut ChaCha8Rng::seed_from_u64(7))?;
/// assert_eq!(choice.arm, ArmId::new(1));
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ucb1 {
    /// Exploration factor α ≥ 0. It should be the range of the rewards: 1, the default, for rewards in [0, 1].
    pub alpha: f64,
}

impl Default for Ucb1 {
    fn default() -> Self {
        Self { alpha: 1.0 }
    }
}

/// Value of an arm without a reward. Being the largest finite value, it makes the arm the first choice, and it can be
/// saved as JSON, unlike infinity.
const UNTRIED: f64 = f64::MAX;

impl ContextFreeRule for Ucb1 {
    const NAME: &'static str = "ucb1";
}

impl Rule for Ucb1 {
    fn check(&self) -> Result<()> {
        check_parameter("alpha", self.alpha, (0.0..=1e100).contains(&self.alpha), "from 0 to 1e100")
    }

    fn check_reward(&self, reward: f64) -> Result<()> {
        check_scalar("reward", reward)
    }

    fn moments(&self, arm: &ArmStatistics, total: f64) -> (f64, f64) {
        let width = if arm.weight > 0.0 { (2.0 * total.ln().max(0.0) / arm.weight).sqrt() } else { UNTRIED };
        (arm.mean(), width)
    }

    fn value(&self, arm: &ArmStatistics, total: f64, _: &mut dyn Rng) -> f64 {
        match self.moments(arm, total) {
            (_, width) if width == UNTRIED => UNTRIED,
            (mean, width) => mean + self.alpha * width,
        }
    }

    fn law(&self, arm: &ArmStatistics, total: f64) -> Law {
        match self.moments(arm, total) {
            (_, width) if width == UNTRIED => Law::Point(UNTRIED),
            (mean, width) => Law::Point(mean + self.alpha * width),
        }
    }
}
