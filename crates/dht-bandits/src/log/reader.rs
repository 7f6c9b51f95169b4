//! Reader of a decision log that joins rewards to decisions, or feedback to slates.

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

/// Decision that was joined with its reward.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinedDecision {
    /// Id of the decision in the log.
    pub id: u64,
    /// Time of the decision.
    pub time: f64,
    /// Decision, from which a policy can [learn](crate::Policy::learn).
    pub decision: Decision,
    /// Propensity of the decision, if it was logged.
    pub propensity: Option<f64>,
    /// Policy's probability of each arm, if it was logged.
    pub probabilities: Option<Vec<(ArmId, f64)>>,
    /// Request of the policy, if it was logged.
    pub(super) request: Option<LoggedRequest>,
    /// Reward of the decision.
    pub reward: f64,
    /// `true` if the reward is the default reward of the settings.
    pub defaulted: bool,
    /// Position of the reward in the log: number of the file, and byte in it. If several rewards were combined, the
    /// position is that of the last. `None` for the default reward.
    pub answered_at: Option<(u64, u64)>,
}

impl JoinedDecision {
    /// Converts the decision to a row for [evaluation](crate::evaluation).
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

/// Decisions with rewards, as a type of joined records.
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

/// Reads the decisions of a log ([`open`](Self::open)), or its slates ([`open_slates`](LogReader::open_slates)), joined
/// with their rewards or feedback.
///
/// Records are returned in the order in which they were written, each once its answer was read or its horizon has
/// passed. Memory holds the records of one horizon. Without a horizon, it holds all records from the first unanswered
/// one.
///
/// An unusable line is an error, and the next call continues after it. A last line that was cut off by a crash is not
/// an error: it is [counted](Self::counts). A reader of decisions returns an error for a slate, and a reader of slates
/// for a decision ([`LogProblem::OtherReader`]). Without this error, a log that is read by the wrong reader would seem
/// to be empty. If one folder holds both, continue after the error. Answers to records of the other type are skipped.
///
/// Old files may be deleted, the oldest first, also after the reader was opened. Rewards of decisions in deleted files
/// are counted ([`LogCounts::orphaned`]), and are not errors. A file that is missing after one that was read is an
/// error, [`LogError::MissingFile`], once per gap. The next call continues after the gap, and rewards of decisions in
/// it are also counted. The reader also continues after a file that cannot be read ([`LogError::Io`],
/// [`LogError::File`]), and after a file that is cut off and is not the last.
///
/// A decision that waits at such a gap gets no default reward, since its own reward may be in the gap. It is joined
/// with a reward that comes later, or else counted as [unrewarded](LogCounts::unrewarded). If a reward is a click, the
/// decisions that remain are biased upwards. Set a horizon: it limits this effect to the decisions of one horizon
/// before the gap. After a single refused line, default rewards are still used: at most one of them is wrong.
#[derive(Debug)]
pub struct LogReader<T = JoinedDecision>(pub(super) Box<dyn JoinedRecords<T>>);

impl LogReader {
    /// Creates a reader of decisions at the first line. The log may be written to at the same time. Lines that are
    /// written after the reader reached the end are not read.
    ///
    /// # Errors
    /// * Fails if the folder cannot be read, or if the horizon is not positive.
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
    /// Counts of what was read so far.
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
