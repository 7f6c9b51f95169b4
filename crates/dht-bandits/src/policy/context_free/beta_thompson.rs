//! Beta-Thompson sampling, a bandit rule without contexts for rewards from 0 to 1.

use rand::Rng;
use rand_distr::{Beta, Distribution};
use serde::{Deserialize, Serialize};

use super::rule::sealed::Rule;
use super::rule::{ArmStatistics, ContextFreeRule};
use crate::error::{Error, Result};
use crate::policy::propensity::Law;
use crate::validate::{check_parameter, check_scalar};

/// Beta-Thompson sampling for rewards in [0, 1] (Thompson 1933; Chapelle & Li 2011, Algorithm 2). It chooses the arm
/// with the highest draw from Beta(a + Σ w·r, b + Σ w·(1 − r)), where r are the rewards of the arm and w their weights.
///
/// A reward between 0 and 1 counts partly as a success and partly as a failure. Propensities are integrals of Beta
/// densities and incomplete Beta functions. From 10¹⁵ rewards on, the mean of an arm is used instead of a draw.
///
/// ```
/// use dht_bandits::policy::{BetaThompson, ContextFree};
/// use dht_bandits::{ArmId, Policy, Request};
///
/// let mut policy = ContextFree::new(2, BetaThompson::default())?;
/// for _ in 0..8 {
///     policy.update(ArmId::new(0), &[], 1.0, 1.0)?;
/// }
/// // A draw from Beta(9, 1) exceeds one from Beta(1, 1) with probability .9.
/// let propensities = policy.propensities(&Request::new(&[]))?;
/// assert!((propensities[0].probability - 0.9).abs() < 1e-8);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BetaThompson {
    /// Prior parameter a ≥ ½ of the Beta distribution. The values a = b = 1 give a uniform prior, and a = b = ½ gives
    /// Jeffreys's prior.
    pub successes: f64,
    /// Prior parameter b ≥ ½ of the Beta distribution.
    pub failures: f64,
}

impl Default for BetaThompson {
    fn default() -> Self {
        Self { successes: 1.0, failures: 1.0 }
    }
}

impl BetaThompson {
    fn posterior(&self, arm: &ArmStatistics) -> (f64, f64) {
        // Rounding may leave the number of failures a little below 0.
        (self.successes + arm.sum, self.failures + (arm.weight - arm.sum).max(0.0))
    }
}

impl ContextFreeRule for BetaThompson {
    const NAME: &'static str = "beta-thompson";
}

impl Rule for BetaThompson {
    fn check(&self) -> Result<()> {
        for (name, value) in [("successes", self.successes), ("failures", self.failures)] {
            check_parameter(name, value, (0.5..=1e100).contains(&value), "from 0.5 to 1e100")?;
        }
        Ok(())
    }

    fn check_reward(&self, reward: f64) -> Result<()> {
        check_scalar("reward", reward)?;
        if (0.0..=1.0).contains(&reward) { Ok(()) } else { Err(Error::Reward { reward, low: 0.0, high: 1.0 }) }
    }

    fn moments(&self, arm: &ArmStatistics, _: f64) -> (f64, f64) {
        let (a, b) = self.posterior(arm);
        let total = a + b;
        (a / total, (a / total * (b / total) / (total + 1.0)).sqrt())
    }

    fn value(&self, arm: &ArmStatistics, _: f64, rng: &mut dyn Rng) -> f64 {
        let (a, b) = self.posterior(arm);
        match Law::beta(a, b) {
            Law::Point(value) => value,
            _ => Beta::new(a, b).map_or(f64::NAN, |beta| beta.sample(rng)),
        }
    }

    fn law(&self, arm: &ArmStatistics, _: f64) -> Law {
        let (a, b) = self.posterior(arm);
        Law::beta(a, b)
    }
}
