//! Rules by which policies without contexts choose, and the reward statistics of an arm.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Reward statistics of one arm in a policy without contexts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmStatistics {
    /// Total weight of the rewards, Σ w.
    pub weight: f64,
    /// Weighted sum of rewards, Σ w·r.
    pub sum: f64,
}

impl ArmStatistics {
    /// Mean reward; 0 before the first reward.
    pub fn mean(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }
}

/// Rule by which a [`ContextFree`] policy chooses: [`Ucb1`] or [`BetaThompson`].
pub trait ContextFreeRule:
    Clone + std::fmt::Debug + PartialEq + Send + Sync + Serialize + DeserializeOwned + sealed::Rule + 'static
{
    /// Name of the rule in saved states.
    const NAME: &'static str;
}

pub(super) mod sealed {
    use super::ArmStatistics;
    use crate::error::Result;
    use crate::policy::propensity::Law;
    use rand::Rng;

    /// Operations of a rule by which a policy without contexts chooses. In every method, `total` is the summed weight
    /// of all arms' rewards.
    pub trait Rule {
        fn check(&self) -> Result<()>;
        fn check_reward(&self, reward: f64) -> Result<()>;
        /// Mean and width (uncertainty) of an arm's reward.
        fn moments(&self, arm: &ArmStatistics, total: f64) -> (f64, f64);
        fn value(&self, arm: &ArmStatistics, total: f64, rng: &mut dyn Rng) -> f64;
        fn law(&self, arm: &ArmStatistics, total: f64) -> Law;
    }
}
