//! Records of a decision log: parsed lines.

use serde::{Deserialize, Serialize};

use super::LoggedDecision;
use super::error::{LogProblem, check_choice, check_id, check_propensity, check_stored, check_value};
use super::logged_request::LoggedRequest;
use super::slate_record::{FeedbackRecord, SlateRecord};
use crate::arm::ArmId;
use crate::decision::Decision;

/// Record: one parsed line of a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    Decision(DecisionRecord),
    Reward(RewardRecord),
    Slate(SlateRecord),
    Feedback(FeedbackRecord),
    Segment(SegmentRecord),
}

/// Role of a record when rewards are joined to decisions.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    /// Decision, or slate of `shown` chosen arms, which may later get an answer (reward or feedback).
    Subject { id: u64, time: f64, shown: Option<usize> },
    /// Answer to a decision or slate: a reward, or feedback.
    Answer { id: u64, time: f64 },
    /// First line of a log file.
    Segment(SegmentRecord),
}

impl Record {
    pub(super) fn role(&self) -> Role {
        match self {
            Self::Decision(DecisionRecord { id, time, .. }) => Role::Subject { id: *id, time: *time, shown: None },
            Self::Slate(SlateRecord { id, time, slate, .. }) => {
                Role::Subject { id: *id, time: *time, shown: Some(slate.choices().len()) }
            }
            Self::Reward(RewardRecord { id, time, .. }) | Self::Feedback(FeedbackRecord { id, time, .. }) => {
                Role::Answer { id: *id, time: *time }
            }
            Self::Segment(record) => Role::Segment(*record),
        }
    }

    /// Checks the values of the record: they must be finite, propensities in (0, 1], and ids valid.
    pub(super) fn check(&self) -> Result<(), LogProblem> {
        match self {
            Self::Decision(record) => record.check(),
            Self::Reward(record) => record.check(),
            Self::Slate(record) => record.check(),
            Self::Feedback(record) => record.check(),
            Self::Segment(record) => record.clock.map_or(Ok(()), |clock| check_value("clock", clock)),
        }
    }
}

pub(super) fn parse(line: &[u8]) -> Result<Record, LogProblem> {
    serde_json::from_slice(line).map_err(|error| LogProblem::Malformed(error.to_string()))
}

/// First line of every log file except the first. It repeats information from earlier files, because they may be
/// deleted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SegmentRecord {
    /// Id of the first decision or slate in this file, or in the next file that has one.
    pub(super) next_id: u64,
    /// Largest time in all earlier files of the log.
    #[serde(default)]
    pub(super) clock: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionRecord {
    pub(super) id: u64,
    pub(super) time: f64,
    pub(super) propensity: Option<f64>,
    pub(super) decision: Decision,
    #[serde(default)]
    pub(super) probabilities: Option<Vec<(ArmId, f64)>>,
    #[serde(default)]
    pub(super) request: Option<LoggedRequest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RewardRecord {
    pub(super) id: u64,
    pub(super) time: f64,
    pub(super) reward: f64,
}

impl DecisionRecord {
    pub(super) fn check(&self) -> Result<(), LogProblem> {
        check_id(self.id)?;
        check_value("time", self.time)?;
        check_choice(&self.decision.choice)?;
        self.propensity.map_or(Ok(()), check_propensity)?;
        check_stored("context", &self.decision.context)?;
        if let Some(probabilities) = &self.probabilities {
            super::check_distribution("the logging policy", probabilities)
                .map_err(|error| LogProblem::Malformed(error.to_string()))?;
            let arm = self.decision.arm();
            if probabilities.iter().all(|(other, _)| *other != arm) {
                return Err(LogProblem::Missing(format!("probability of {arm}, which was chosen")));
            }
        }
        // A row from which no estimate can be computed is refused.
        if self.request.is_some() || self.probabilities.is_some() {
            self.clone().row(0.0).check(0).map_err(LogProblem::of_row)?;
        }
        Ok(())
    }

    pub(super) fn row(self, reward: f64) -> LoggedDecision {
        let arm = self.decision.arm();
        let from_policy = self.probabilities.as_ref().map(|all| all.iter().map(|(arm, _)| *arm).collect());
        let LoggedRequest { context, available, features } = self.request.unwrap_or_default();
        LoggedDecision {
            context: context.unwrap_or(self.decision.context),
            arm,
            propensity: self.propensity.or(self.decision.choice.propensity),
            reward,
            available: available.or(from_policy),
            probabilities: self.probabilities,
            features,
            drop_probability: 0.0,
            propensity_error: self.decision.choice.propensity_error,
        }
    }
}

impl RewardRecord {
    pub(super) fn check(&self) -> Result<(), LogProblem> {
        check_id(self.id)?;
        check_value("time", self.time)?;
        check_value("reward", self.reward)
    }
}
