//! Replay: a learning policy run through a log of uniformly drawn arms.

use super::estimate::{Estimate, check_logged, estimate};
use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::policy::{Policy, Request};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// A round of a log whose arms were drawn uniformly: context, arm, reward.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayRound {
    /// The context.
    pub context: Vec<f64>,
    /// The arm that was drawn.
    pub arm: ArmId,
    /// The reward of that arm.
    pub reward: f64,
}

/// Replay (Li et al. 2011): runs a learning policy through a log whose arms were drawn uniformly, keeps the rounds in
/// which it would have chosen the logged arm, and lets it learn from those. Unbiased for a policy that learns.
///
/// # Errors
/// A reward that is not finite or beyond ±1e50, before the policy learns anything; what the policy refuses, after it
/// has learned from the rounds before; fewer than two rounds kept.
pub fn replay(policy: &mut dyn Policy, log: &[ReplayRound], rng: &mut dyn Rng) -> Result<Estimate> {
    for (round, entry) in log.iter().enumerate() {
        check_logged(round, "reward", entry.reward)?;
    }
    let mut kept = Vec::new();
    for round in log {
        let choice = policy.select(&Request::new(&round.context), rng)?;
        if choice.arm == round.arm {
            policy.update(round.arm, &round.context, round.reward, 1.0)?;
            kept.push(round.reward);
        }
    }
    let count = kept.len();
    if count < 2 {
        return Err(Error::TooFewObservations { what: "replay", needed: 2, got: count });
    }
    let value = kept.iter().sum::<f64>() / count as f64;
    Ok(estimate(value, kept.iter().map(|reward| reward - value), count, count as f64))
}
