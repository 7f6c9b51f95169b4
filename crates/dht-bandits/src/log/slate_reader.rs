//! Reader of decision logs, which joins feedback to slates (lists of arms shown at once).

use std::path::Path;

use super::decision_log::LogSettings;
use super::error::{LogError, LogProblem};
use super::joining::{Joinable, Joining, ReaderRecord};
use super::logged_request::LoggedRequest;
use super::logged_slate::LoggedSlate;
use super::reader::LogReader;
use super::record::{DecisionRecord, Record};
use super::slate_record::{FeedbackRecord, SlateRecord};
use crate::decision::{Feedback, Slate};
use crate::error::Error;

/// Slate (list of arms shown at once) from a log, joined with its feedback.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinedSlate {
    /// Id of the slate in the log.
    pub id: u64,
    /// Time at which the slate was logged, in the caller's unit.
    pub time: f64,
    /// Slate, from which a policy can [learn](crate::policy::Policy::learn_slate).
    pub slate: Slate,
    pub(super) request: Option<LoggedRequest>,
    /// Feedback on each chosen arm, in the order of the slate.
    pub feedback: Vec<Feedback>,
    /// `true` if the feedback is the default, that no arm was observed.
    pub defaulted: bool,
    /// Position of the feedback in the log: number of the file, and byte in it. `None` for the default feedback.
    pub answered_at: Option<(u64, u64)>,
}

impl JoinedSlate {
    /// Converts the slate to a log row for [off-policy evaluation](crate::evaluation::LoggedRound::from_slates).
    ///
    /// # Errors
    /// [`Error::NoRequest`] if the slate was logged without its request.
    pub fn into_row(self) -> Result<LoggedSlate, Error> {
        let Self { id, time, slate, request, feedback, .. } = self;
        SlateRecord { id, time, slate, request }.row(feedback)
    }
}

#[derive(Debug)]
struct Slates {
    unobserved: bool,
}

impl Joinable for Slates {
    type Subject = SlateRecord;
    type Answer = Vec<Feedback>;
    type Joined = JoinedSlate;

    fn classify(record: Record) -> ReaderRecord<SlateRecord, Vec<Feedback>> {
        match record {
            Record::Slate(record) => ReaderRecord::Subject(record.id, record.time, record),
            Record::Feedback(FeedbackRecord { id, time, feedback }) => ReaderRecord::Answer(id, time, feedback),
            Record::Decision(DecisionRecord { id, time, .. }) => ReaderRecord::OtherSubject(
                id,
                time,
                LogProblem::OtherReader { what: "decision", id, reader: "LogReader::open" },
            ),
            Record::Reward(record) => ReaderRecord::OtherAnswer(record.time),
            Record::Segment(record) => ReaderRecord::Segment(record),
        }
    }

    fn check(made: &SlateRecord, answer: &Vec<Feedback>) -> Result<(), LogProblem> {
        let (expected, got) = (made.slate.choices().len(), answer.len());
        if got == expected { Ok(()) } else { Err(LogProblem::Count { expected, got }) }
    }

    fn default(&self, made: &SlateRecord) -> Option<Vec<Feedback>> {
        self.unobserved.then(|| vec![Feedback::Unobserved; made.slate.choices().len()])
    }

    fn join(made: SlateRecord, feedback: Vec<Feedback>, answered_at: Option<(u64, u64)>) -> JoinedSlate {
        let SlateRecord { id, time, slate, request } = made;
        let defaulted = answered_at.is_none();
        JoinedSlate { id, time, slate, request, feedback, defaulted, answered_at }
    }
}

impl LogReader<JoinedSlate> {
    /// Opens a log and reads its slates (lists of arms shown at once) from the first line on, joined with their
    /// feedback. [`open`](LogReader::open) is the same for decisions.
    ///
    /// # Errors
    /// * Fails if the folder cannot be read, or if the horizon (longest waiting time for feedback) is not positive.
    /// * Fails if a default reward is set, which applies only to decisions.
    pub fn open_slates(folder: impl AsRef<Path>, settings: LogSettings) -> Result<Self, LogError> {
        let LogSettings { horizon, default_reward, unobserved, .. } = settings;
        if default_reward.is_some() {
            let problem = "default_reward: expected none for slates, use unobserved".to_owned();
            return Err(Error::Settings { problem }.into());
        }
        Ok(Self(Box::new(Joining::open(folder.as_ref(), Slates { unobserved }, horizon)?)))
    }
}
