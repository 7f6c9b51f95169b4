//! The lines of a decision log.

use super::LoggedDecision;
use super::error::{LineProblem, check_propensity, check_value};
use crate::arm::ArmId;
use crate::error::Error;
use crate::policy::{Actions, Choice, Decision, Request};
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    Decision(DecisionRecord),
    Reward(RewardRecord),
    Segment(SegmentRecord),
}

/// The first line of every file but the first: what is told by files that may be gone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SegmentRecord {
    /// The id of the first decision in this file, or in the next that has one.
    pub(super) next_id: u64,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<LoggedRequest>,
}

/// What a policy was asked when it decided, as [`DecisionLog::append_request`](super::DecisionLog::append_request) writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoggedRequest {
    /// The context, where it is another than the decision's: policies with features of arms learn from the context with
    /// those of the chosen arm behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Vec<f64>>,
    /// The arms that could be chosen; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<Vec<ArmId>>,
    /// Their features, a row of the same length for each, in their order; `None` where arms have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<f64>>,
}

impl LoggedRequest {
    pub(super) fn new(
        request: &Request<'_>,
        decision: &Decision,
        probabilities: Option<&[(ArmId, f64)]>,
    ) -> Result<Self, LineProblem> {
        let (available, features) = match request.actions {
            Actions::All => (None, None),
            Actions::Only(arms) => (Some(arms.to_vec()), None),
            Actions::Featured(featured) => (Some(featured.ids().to_vec()), Some(featured.rows().to_vec())),
            Actions::Except([]) => (None, None),
            // All but some: which those are the policy's probabilities tell.
            Actions::Except(without) => match probabilities {
                Some(all) => {
                    let arms = all.iter().map(|(arm, _)| *arm).filter(|arm| !without.contains(arm));
                    (Some(arms.collect()), None)
                }
                None => {
                    let what = "list of the arms that could be chosen: name them (Actions::Only), or log probabilities";
                    return Err(LineProblem::Missing(what.to_owned()));
                }
            },
        };
        let context = (request.context != decision.context).then(|| request.context.to_vec());
        Ok(Self { context, available, features })
    }
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
        check_id(self.id)?;
        check_value("time", self.time)?;
        let Choice { score, mean, width, .. } = self.decision.choice;
        for (what, value) in [("score", score), ("mean", mean), ("width", width)] {
            check_value(what, value)?;
        }
        match self.propensity {
            Some(propensity) => check_propensity(propensity)?,
            None => return Err(LineProblem::Missing("propensity".to_owned())),
        }
        self.decision.context.iter().try_for_each(|&value| check_value("context", value))?;
        if let Some(probabilities) = &self.probabilities {
            super::check_distribution("the logging policy", probabilities)
                .map_err(|error| LineProblem::Malformed(error.to_string()))?;
        }
        // What no estimate could be computed from.
        if self.request.is_some() || self.probabilities.is_some() {
            self.clone().row(0.0).check(0).map_err(|error| {
                let inner =
                    if let Error::InRound { source, .. } = &error { source.to_string() } else { error.to_string() };
                LineProblem::Malformed(inner)
            })?;
        }
        Ok(())
    }

    /// The row with this reward.
    pub(super) fn row(self, reward: f64) -> LoggedDecision {
        let arm = self.decision.arm();
        let of_policy = self.probabilities.as_ref().map(|all| all.iter().map(|(arm, _)| *arm).collect());
        let LoggedRequest { context, available, features } = self.request.unwrap_or_default();
        LoggedDecision {
            context: context.unwrap_or(self.decision.context),
            arm,
            propensity: self.propensity.unwrap_or(f64::NAN),
            reward,
            available: available.or(of_policy),
            probabilities: self.probabilities,
            features,
        }
    }
}

impl RewardRecord {
    pub(super) fn check(&self) -> Result<(), LineProblem> {
        check_id(self.id)?;
        check_value("time", self.time)?;
        check_value("reward", self.reward)
    }
}

/// The largest number is no id: there would be none after it.
fn check_id(id: u64) -> Result<(), LineProblem> {
    if id < u64::MAX { Ok(()) } else { Err(LineProblem::Malformed(format!("{id} is no id"))) }
}
