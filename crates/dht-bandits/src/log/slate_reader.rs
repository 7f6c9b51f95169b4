//! The reader of slates, which joins feedback to them.

use super::error::{LineProblem, LogError, RewardProblem};
use super::joining::{Joining, Kind, LogCounts, Sorted};
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

/// How feedback is joined to slates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SlateReadSettings {
    /// How long a slate waits for its feedback, in the log's unit of time and by its clock, the largest time so far; `None`
    /// until the end of the log.
    pub horizon: Option<f64>,
    /// Whether a slate that got no feedback within the horizon counts as one of which nothing was observed: nothing is
    /// learned from it, and it earned 0. Otherwise it is left out, which is right where feedback is lost by chance, and
    /// flatters a policy where it is missing because nobody clicked.
    pub unobserved: bool,
}

options!(SlateReadSettings::new() {
    horizon / with_horizon: Option<f64> = None,
    unobserved / with_unobserved: bool = false,
});

/// A slate with its feedback.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinedSlate {
    /// The id that the log gave it.
    pub id: u64,
    /// When it was made.
    pub time: f64,
    /// The slate, to [learn](crate::policy::SlatePolicy::learn_slate) from.
    pub slate: Slate,
    /// What the policy was asked, where it was logged.
    pub request: Option<LoggedRequest>,
    /// One for each chosen arm, in order.
    pub feedback: Vec<Feedback>,
    /// Whether that is the default.
    pub defaulted: bool,
    /// Where in the log the feedback stands; `None` for the default.
    pub answered_at: Option<LogPosition>,
}

impl JoinedSlate {
    /// The row, to be [judged](crate::evaluation::slate_rounds) with.
    ///
    /// # Errors
    /// [`Error::NoRequest`]: the slate was logged without its request.
    pub fn into_row(self) -> Result<LoggedSlate, Error> {
        let Self { id, time, slate, request, feedback, .. } = self;
        SlateRecord { id, time, slate, request }.row(feedback)
    }
}

/// Slates and feedback.
#[derive(Debug)]
struct Slates {
    unobserved: bool,
}

impl Kind for Slates {
    type Made = SlateRecord;
    type Answer = Vec<Feedback>;
    type Joined = JoinedSlate;

    fn sort(record: Record) -> Sorted<SlateRecord, Vec<Feedback>> {
        match record {
            Record::Slate(record) => Sorted::Made(record.id, record.time, record),
            Record::Feedback(FeedbackRecord { id, time, feedback }) => Sorted::Answer(id, time, feedback),
            Record::Decision(DecisionRecord { id, time, .. }) => {
                Sorted::OtherMade(id, time, LineProblem::OtherReader { what: "decision", id, reader: "LogReader" })
            }
            Record::Reward(record) => Sorted::OtherAnswer(record.time),
            Record::Segment(record) => Sorted::Segment(record),
        }
    }

    fn check(made: &SlateRecord, answer: &Vec<Feedback>) -> Result<(), RewardProblem> {
        let (expected, got) = (made.slate.choices().len(), answer.len());
        if got == expected { Ok(()) } else { Err(RewardProblem::Count { expected, got }) }
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

/// Reads the slates of a log in the order in which they were made, each when its feedback has come or its horizon has
/// passed: as [`LogReader`](super::LogReader) reads decisions.
///
/// A line that cannot be used is an error, and the next call goes on after it. A single decision is one as well
/// ([`LineProblem::OtherReader`]); the reward of it is passed over. Missing files are met as [`LogReader`](super::LogReader)
/// meets them.
#[derive(Debug)]
pub struct SlateReader(Joining<Slates>);

impl SlateReader {
    /// A reader from the first line. The log may be written to meanwhile: what is written after the reader came to its
    /// end is not read.
    ///
    /// # Errors
    /// A folder that cannot be read; a horizon that is not positive.
    pub fn open(folder: impl AsRef<Path>, settings: SlateReadSettings) -> Result<Self, LogError> {
        let SlateReadSettings { horizon, unobserved } = settings;
        Ok(Self(Joining::open(folder.as_ref(), Slates { unobserved }, horizon)?))
    }

    /// What it has met so far.
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
