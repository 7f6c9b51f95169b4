//! The reader of a decision log, which joins rewards to decisions.

use super::LoggedDecision;
use super::error::{LineProblem, LogError, RewardProblem};
use super::joining::{Joining, Kind, LogCounts, Sorted};
use super::logged_request::LoggedRequest;
use super::record::{DecisionRecord, Record, RewardRecord};
use super::segments::LogPosition;
use super::slate_record::SlateRecord;
use crate::arm::ArmId;
use crate::options::options;
use crate::policy::Decision;
use crate::validate::check_bounded;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How rewards are joined to decisions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ReadSettings {
    /// How long a decision waits for its reward, in the log's unit of time and by its clock, the largest time so far; `None`
    /// until the end of the log.
    pub horizon: Option<f64>,
    /// The reward of a decision that got none within the horizon, such as 0 for no click; `None` leaves it out.
    pub default_reward: Option<f64>,
}

options!(ReadSettings::new() {
    horizon / with_horizon: Option<f64> = None,
    default_reward / with_default_reward: Option<f64> = None,
});

/// A decision with its reward.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinedDecision {
    /// The id that the log gave it.
    pub id: u64,
    /// When it was made.
    pub time: f64,
    /// The decision, to [learn](crate::Policy::learn) from.
    pub decision: Decision,
    /// Its propensity, where it was logged.
    pub propensity: Option<f64>,
    /// The policy's probability of each arm, where it was logged.
    pub probabilities: Option<Vec<(ArmId, f64)>>,
    /// What the policy was asked, where it was logged.
    pub request: Option<LoggedRequest>,
    /// The reward.
    pub reward: f64,
    /// Whether that is the default.
    pub defaulted: bool,
    /// Where in the log the reward stands; `None` for the default.
    pub answered_at: Option<LogPosition>,
}

impl JoinedDecision {
    /// The row, to be [judged](crate::evaluation) with.
    pub fn into_row(self) -> LoggedDecision {
        let record = DecisionRecord {
            id: self.id,
            time: self.time,
            propensity: self.propensity,
            decision: self.decision,
            probabilities: self.probabilities,
            request: self.request,
        };
        record.row(self.reward)
    }
}

/// Decisions and rewards.
#[derive(Debug)]
struct Decisions {
    default_reward: Option<f64>,
}

impl Kind for Decisions {
    type Made = DecisionRecord;
    type Answer = f64;
    type Joined = JoinedDecision;

    fn sort(record: Record) -> Sorted<DecisionRecord, f64> {
        match record {
            Record::Decision(record) => Sorted::Made(record.id, record.time, record),
            Record::Reward(RewardRecord { id, time, reward }) => Sorted::Answer(id, time, reward),
            Record::Slate(SlateRecord { id, time, .. }) => {
                Sorted::OtherMade(id, time, LineProblem::OtherReader { what: "slate", id, reader: "SlateReader" })
            }
            Record::Feedback(record) => Sorted::OtherAnswer(record.time),
            Record::Segment(record) => Sorted::Segment(record),
        }
    }

    fn check(_: &DecisionRecord, _: &f64) -> Result<(), RewardProblem> {
        Ok(())
    }

    fn default(&self, _: &DecisionRecord) -> Option<f64> {
        self.default_reward
    }

    fn join(made: DecisionRecord, reward: f64, answered_at: Option<LogPosition>) -> JoinedDecision {
        let DecisionRecord { id, time, propensity, decision, probabilities, request } = made;
        let propensity = propensity.or(decision.choice.propensity);
        let defaulted = answered_at.is_none();
        JoinedDecision { id, time, decision, propensity, probabilities, request, reward, defaulted, answered_at }
    }
}

/// Reads the decisions of a log in the order in which they were made, each when its reward has come or its horizon has
/// passed. Memory holds the decisions of one horizon; without a horizon all that have no reward, and those after them.
///
/// A line that cannot be used is an error, and the next call goes on after it. A last line that was cut off by a crash is
/// no error: it is [counted](Self::counts). A slate is an error as well ([`LineProblem::OtherReader`]), since a log that is
/// read by the wrong reader would otherwise look empty; where one folder holds both, go on after it. The feedback on
/// it is passed over.
///
/// Old files may be deleted, the oldest first, also after the reader was opened: rewards of decisions in them are counted
/// ([`LogCounts::orphaned`]), and no error. A file that is missing after one that was read is one, [`LogError::MissingFile`],
/// once for each gap; the next call goes on after it, and rewards of decisions in it are counted as well. So it goes on after a file
/// that cannot be read ([`LogError::Io`], [`LogError::File`]), or one that is cut off before the last.
///
/// A decision that waited when the reader met such a gap gets no default, since its reward may stand there: it is joined with
/// a reward that comes later, or else counted as [unrewarded](LogCounts::unrewarded). What is left of them is flattered where a
/// reward is a click, so give a horizon: then these are the decisions of one horizon before the gap. A single line that is
/// refused changes no default: at most one is wrong.
#[derive(Debug)]
pub struct LogReader(Joining<Decisions>);

impl LogReader {
    /// A reader from the first line. The log may be written to meanwhile: what is written after the reader came to its
    /// end is not read.
    ///
    /// # Errors
    /// A folder that cannot be read; a horizon that is not positive; a default that is not finite or beyond ±1e100, as no
    /// reward of a log is.
    pub fn open(folder: impl AsRef<Path>, settings: ReadSettings) -> Result<Self, LogError> {
        let ReadSettings { horizon, default_reward } = settings;
        check_bounded("default reward", default_reward.unwrap_or(0.0))?;
        Ok(Self(Joining::open(folder.as_ref(), Decisions { default_reward }, horizon)?))
    }

    /// What it has met so far.
    pub fn counts(&self) -> LogCounts {
        self.0.counts
    }
}

impl Iterator for LogReader {
    type Item = Result<JoinedDecision, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}
