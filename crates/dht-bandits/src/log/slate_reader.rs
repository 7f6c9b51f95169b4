//! Reader of a decision log that joins feedback to slates.

use super::error::{LogError, LogProblem};
use super::joining::{Joinable, Joining, LogCounts, ReaderRecord};
use super::logged_request::LoggedRequest;
use super::logged_slate::LoggedSlate;
use super::record::{DecisionRecord, Record};
use super::segments::LogPosition;
use super::slate_record::{FeedbackRecord, SlateRecord};
use crate::error::Error;
use crate::options::options;
use crate::policy::{Feedback, Slate};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Settings for joining feedback to slates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SlateReadSettings {
    /// Longest time that a slate waits for its feedback, in the log's unit of time. It is measured by the log's clock,
    /// the largest time so far. `None` waits until the end of the log.
    pub horizon: Option<f64>,
    /// Treat a slate without feedback within the horizon as unobserved: nothing is learned from it, and it earned 0.
    /// Otherwise such a slate is left out. This is right if feedback is lost at random, and biases a policy's value
    /// upwards if feedback is missing because nobody clicked.
    pub unobserved: bool,
}

options!(SlateReadSettings::new() {
    horizon / with_horizon: Option<f64> = None,
    unobserved / with_unobserved: bool = false,
});

/// Slate with its feedback.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinedSlate {
    /// Id in the log.
    pub id: u64,
    /// Time of the slate.
    pub time: f64,
    /// Slate, to [learn](crate::policy::Policy::learn_slate) from.
    pub slate: Slate,
    /// Request of the policy, if it was logged.
    pub request: Option<LoggedRequest>,
    /// Feedback on each chosen arm, in order.
    pub feedback: Vec<Feedback>,
    /// `true` if the feedback is the default.
    pub defaulted: bool,
    /// Position of the feedback in the log; `None` for the default.
    pub answered_at: Option<LogPosition>,
}

impl JoinedSlate {
    /// Converts to a row for [evaluation](crate::evaluation::LoggedRound::from_slates).
    ///
    /// # Errors
    /// [`Error::NoRequest`]: the slate was logged without its request.
    pub fn into_row(self) -> Result<LoggedSlate, Error> {
        let Self { id, time, slate, request, feedback, .. } = self;
        SlateRecord { id, time, slate, request }.row(feedback)
    }
}

/// Slates with feedback, as a kind of joined records.
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
                LogProblem::OtherReader { what: "decision", id, reader: "LogReader" },
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

    fn join(made: SlateRecord, feedback: Vec<Feedback>, answered_at: Option<LogPosition>) -> JoinedSlate {
        let SlateRecord { id, time, slate, request } = made;
        let defaulted = answered_at.is_none();
        JoinedSlate { id, time, slate, request, feedback, defaulted, answered_at }
    }
}

/// Reads the slates of a log in the order in which they were made, as [`LogReader`](super::LogReader) reads decisions.
/// Each is returned once its feedback has come or its horizon has passed.
///
/// An unusable line is an error, and the next call continues after it. A single decision is also an error
/// ([`LogProblem::OtherReader`]); its reward is skipped. Missing files are treated as by
/// [`LogReader`](super::LogReader).
#[derive(Debug)]
pub struct SlateReader(Joining<Slates>);

impl SlateReader {
    /// Creates a reader at the first line. The log may be written to meanwhile: lines written after the reader reached
    /// the end are not read.
    ///
    /// # Errors
    /// A folder that cannot be read; a horizon that is not positive.
    pub fn open(folder: impl AsRef<Path>, settings: SlateReadSettings) -> Result<Self, LogError> {
        let SlateReadSettings { horizon, unobserved } = settings;
        Ok(Self(Joining::open(folder.as_ref(), Slates { unobserved }, horizon)?))
    }

    /// Counts so far.
    pub fn counts(&self) -> LogCounts {
        self.0.counts
    }
}

impl Iterator for SlateReader {
    type Item = Result<JoinedSlate, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}
