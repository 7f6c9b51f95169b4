//! Reader of decision logs, which joins rewards to decisions.

use std::path::Path;

use super::LoggedDecision;
use super::decision_log::{LogSettings, RewardRule};
use super::error::{LogError, LogProblem, check_value};
use super::joining::{Joinable, JoinedRecords, Joining, LogCounts, ReaderRecord};
use super::logged_request::LoggedRequest;
use super::record::{DecisionRecord, Record, RewardRecord};
use super::slate_record::SlateRecord;
use crate::arm::ArmId;
use crate::decision::Decision;
use crate::error::Error;
use crate::validate::check_bounded;

/// Decision from a log, joined with its reward.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinedDecision {
    /// Id of the decision in the log.
    pub id: u64,
    /// Time at which the decision was logged, in the caller's unit.
    pub time: f64,
    /// Decision, from which a policy can [learn](crate::Policy::learn).
    pub decision: Decision,
    /// Propensity (probability of the chosen arm), if it was logged.
    pub propensity: Option<f64>,
    /// Probability of each arm under the logging policy, if it was logged.
    pub probabilities: Option<Vec<(ArmId, f64)>>,
    pub(super) request: Option<LoggedRequest>,
    /// Reward of the decision.
    pub reward: f64,
    /// `true` if the reward is the default reward of the settings.
    pub defaulted: bool,
    /// Position of the reward in the log: number of the file, and byte in it. It is the position of the last reward if
    /// several were combined, and `None` for the default reward.
    pub answered_at: Option<(u64, u64)>,
}

impl JoinedDecision {
    /// Converts the decision to a log row for [off-policy evaluation](crate::evaluation).
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

#[derive(Debug)]
struct Decisions {
    default_reward: Option<f64>,
    rule: RewardRule,
}

impl Joinable for Decisions {
    type Subject = DecisionRecord;
    type Answer = f64;
    type Joined = JoinedDecision;

    fn classify(record: Record) -> ReaderRecord<DecisionRecord, f64> {
        match record {
            Record::Decision(record) => ReaderRecord::Subject(record.id, record.time, record),
            Record::Reward(RewardRecord { id, time, reward }) => ReaderRecord::Answer(id, time, reward),
            Record::Slate(SlateRecord { id, time, .. }) => ReaderRecord::OtherSubject(
                id,
                time,
                LogProblem::OtherReader { what: "slate", id, reader: "LogReader::open_slates" },
            ),
            Record::Feedback(record) => ReaderRecord::OtherAnswer(record.time),
            Record::Segment(record) => ReaderRecord::Segment(record),
        }
    }

    fn check(_: &DecisionRecord, _: &f64) -> Result<(), LogProblem> {
        Ok(())
    }

    fn default(&self, _: &DecisionRecord) -> Option<f64> {
        self.default_reward
    }

    fn first_is_final(&self) -> bool {
        self.rule == RewardRule::First
    }

    fn combine(&self, earlier: &f64, later: f64) -> Result<f64, LogProblem> {
        match self.rule {
            RewardRule::First => Err(LogProblem::Twice),
            RewardRule::Last => Ok(later),
            RewardRule::Sum => check_value("sum of rewards", earlier + later).map(|()| earlier + later),
        }
    }

    fn join(made: DecisionRecord, reward: f64, answered_at: Option<(u64, u64)>) -> JoinedDecision {
        let DecisionRecord { id, time, propensity, decision, probabilities, request } = made;
        let propensity = propensity.or(decision.choice.propensity);
        let defaulted = answered_at.is_none();
        JoinedDecision { id, time, decision, propensity, probabilities, request, reward, defaulted, answered_at }
    }
}

/// Log reader: iterates over decisions joined with their rewards ([`open`](Self::open)), or over slates joined with
/// their feedback ([`open_slates`](LogReader::open_slates)).
///
/// Decisions are returned in the order in which they were written. A decision is returned when its reward has been
/// read, or when its horizon (longest waiting time) has passed. Memory holds the decisions of one horizon. Without a
/// horizon, it holds all decisions from the first one without a reward. The same applies to slates.
///
/// An invalid line is an error, and the next call continues after it. An incomplete last line, which a crash leaves, is
/// only [counted](Self::counts). A reader of decisions returns an error for a slate, and a reader of slates for a
/// decision ([`LogProblem::OtherReader`]). Otherwise a log would seem empty to the wrong reader. If one folder contains
/// both, continue after this error. A reader of decisions skips feedback, and a reader of slates skips rewards.
///
/// Old files may be deleted at any time, the oldest first. Rewards of decisions in deleted files are not errors, but
/// are counted ([`LogCounts::orphaned`]). If a file is missing between existing ones, the reader returns
/// [`LogError::MissingFile`] once per gap, and the next call continues after the gap. Rewards of decisions in the gap
/// are counted in the same way. The reader also continues after a file that cannot be read ([`LogError::Io`],
/// [`LogError::File`]), and after an incomplete file.
///
/// A decision before such a gap gets no default reward, because its reward may be in the gap. If no reward follows
/// after the gap, the decision is counted as [unrewarded](LogCounts::unrewarded) and left out. If rewards are clicks,
/// this biases the mean reward of the other decisions upwards. A horizon limits the effect to decisions at most one
/// horizon before the gap. After a single invalid line default rewards are still used, because at most one of them is
/// wrong.
#[derive(Debug)]
pub struct LogReader<T = JoinedDecision>(pub(super) Box<dyn JoinedRecords<T>>);

impl LogReader {
    /// Opens a log and reads its decisions from the first line on. The log may be written to at the same time. Lines
    /// that are written after the reader has reached the end are not read.
    ///
    /// # Errors
    /// * Fails if the folder cannot be read, or if the horizon (longest waiting time for a reward) is not positive.
    /// * Fails if the default reward is not finite or beyond ±1e100, the limit for rewards of a log.
    /// * Fails if `unobserved` is set, which applies only to slates.
    pub fn open(folder: impl AsRef<Path>, settings: LogSettings) -> Result<Self, LogError> {
        let LogSettings { horizon, default_reward, unobserved, reward_rule: rule, .. } = settings;
        check_bounded("default reward", default_reward.unwrap_or(0.0))?;
        if unobserved {
            let problem = "unobserved: expected false for decisions, slates alone are unobserved".to_owned();
            return Err(Error::Settings { problem }.into());
        }
        Ok(Self(Box::new(Joining::open(folder.as_ref(), Decisions { default_reward, rule }, horizon)?)))
    }
}

impl<T> LogReader<T> {
    /// Counts of the records that were read so far.
    pub fn counts(&self) -> LogCounts {
        self.0.counts()
    }
}

impl<T> Iterator for LogReader<T> {
    type Item = Result<T, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_joined()
    }
}
