//! Rewards that are stored during the warm-up, until the scaling of contexts is final.

use serde::{Deserialize, Serialize};

use super::scaling::Scaling;
use crate::arm::ArmId;
use crate::error::Result;
use crate::policy::Policy;

/// Reward that is stored during the warm-up, until the scaling of contexts is final.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredReward {
    pub(super) arm: ArmId,
    pub(super) context: Vec<f64>,
    pub(super) reward: f64,
    pub(super) weight: f64,
}

impl StoredReward {
    pub(super) fn teach(&self, scaling: &Scaling, policy: &mut impl Policy) -> Result<()> {
        let context = scaling.context(&self.context)?;
        policy.update(self.arm, &context, scaling.reward(self.reward)?, self.weight)
    }
}
