//! The lines of a decision log.

use super::LoggedDecision;
use super::error::{LineProblem, check_propensity, check_value};
use crate::arm::ArmId;
use crate::policy::Decision;
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    Decision(DecisionRecord),
    Reward(RewardRecord),
}

/// A decision, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionRecord {
    pub(super) id: u64,
    pub(super) time: f64,
    pub(super) propensity: Option<f64>,
    pub(super) decision: Decision,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) probabilities: Option<Vec<(ArmId, f64)>>,
}

/// The reward of a decision that was written before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RewardRecord {
    pub(super) id: u64,
    pub(super) time: f64,
    pub(super) reward: f64,
}

impl DecisionRecord {
    /// Refuses what could not be used later.
    pub(super) fn check(&self) -> Result<(), LineProblem> {
        check_value("time", self.time)?;
        match self.propensity {
            Some(propensity) => check_propensity(propensity)?,
            None => return Err(LineProblem::Missing("propensity".to_owned())),
        }
        self.decision.context.iter().try_for_each(|&value| check_value("context", value))?;
        if let Some(probabilities) = &self.probabilities {
            super::check_distribution("the logging policy", probabilities)
                .map_err(|error| LineProblem::Malformed(error.to_string()))?;
        }
        Ok(())
    }

    /// The row with this reward.
    pub(super) fn row(&self, reward: f64) -> LoggedDecision {
        LoggedDecision {
            context: self.decision.context.clone(),
            arm: self.decision.arm(),
            propensity: self.propensity.unwrap_or(f64::NAN),
            reward,
            available: self.probabilities.as_ref().map(|all| all.iter().map(|(arm, _)| *arm).collect()),
            probabilities: self.probabilities.clone(),
            features: None,
        }
    }
}

impl RewardRecord {
    pub(super) fn check(&self) -> Result<(), LineProblem> {
        check_value("time", self.time)?;
        check_value("reward", self.reward)
    }
}
