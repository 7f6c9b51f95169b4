//! What can be wrong with a log, and where.

use crate::error::Number;
use crate::policy::Choice;
use std::io;
use std::path::{Path, PathBuf};

/// A refused line, reward or file. A writer or a reader that returned it is as it was before the call, or, for a reader,
/// at the next line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of a log's name that is none of its files.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// Another process, or another `DecisionLog`, writes to this folder.
    #[error("{path} is in use by another writer")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A line that cannot be used.
    #[error("{path}, line {line}: {problem}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: LineProblem,
    },
    /// A file is not there, although files before and after it are: what it held is lost.
    #[error("{path} is missing: the log goes on with {next}")]
    MissingFile {
        /// The file; others after it may be missing as well.
        path: PathBuf,
        /// The next file that is there.
        next: PathBuf,
    },
    /// A reward, or the feedback on a slate, that cannot be written.
    #[error("reward or feedback for id {id}: {problem}")]
    Reward {
        /// The decision or slate it was meant for.
        id: u64,
        /// What is wrong with it.
        problem: RewardProblem,
    },
    /// A value that cannot be written.
    #[error("cannot be logged: {problem}")]
    Value {
        /// What is wrong with it.
        problem: LineProblem,
    },
    /// A setting out of its range.
    #[error(transparent)]
    Setting(#[from] crate::error::Error),
}

/// Why a file cannot be one of a log's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileProblem {
    /// It is a folder, a device or a pipe, or a symbolic link to one.
    #[error("this is no regular file, as those of a log are")]
    NotRegular,
    /// It stands where the log was to begin its next file.
    #[error("this file, which the log was to begin, is there already, and the log did not write it: move it elsewhere")]
    Exists,
    /// No file can follow it.
    #[error("no number is left for the file that would follow this one: the log did not write it, move it elsewhere")]
    LastNumber,
    /// It is the newest, holds nothing, and neither does any file before it.
    #[error(
        "nothing is left that tells with which id the log goes on: bring back the file before this one, or begin in \
         another folder"
    )]
    NoIds,
}

/// What is wrong with a line of a log.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LineProblem {
    /// The line is not what it should be: cut off, not JSON, of another shape.
    #[error("malformed: {0}")]
    Malformed(String),
    /// A column or field is not there.
    #[error("there is no {0}")]
    Missing(String),
    /// A propensity is not in (0, 1].
    #[error("propensity {} is outside (0, 1]", Number(*.0))]
    Propensity(f64),
    /// A value is NaN, infinite or beyond ±1e100.
    #[error("{what} is {}, expected a number within ±1e100", Number(*value))]
    NotFinite {
        /// Which value.
        what: String,
        /// The value.
        value: f64,
    },
    /// An action that the policy, or the line itself, does not have.
    #[error("unknown action {0}")]
    UnknownAction(String),
    /// A reward, or feedback, that belongs to no decision or slate.
    #[error("reward or feedback for id {id}: {problem}")]
    Reward {
        /// The decision or slate that it names.
        id: u64,
        /// What is wrong with it.
        problem: RewardProblem,
    },
    /// A slate met by the reader of decisions, or a decision met by that of slates.
    #[error("{what} {id} is read by {reader}")]
    OtherReader {
        /// What the line holds: `slate` or `decision`.
        what: &'static str,
        /// Its id.
        id: u64,
        /// The reader to use.
        reader: &'static str,
    },
    /// A slate does not belong to the request that it is logged with.
    #[error("the slate is not of this request: {0}")]
    Contradiction(String),
    /// The ids of decisions and slates do not ascend.
    #[error("id {id} comes after id {last}, expected ids that ascend")]
    Order {
        /// The id of this line.
        id: u64,
        /// The largest id before.
        last: u64,
    },
}

/// Why a reward belongs to no decision, or feedback to no slate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RewardProblem {
    /// The log holds no such decision or slate.
    #[error("the log holds no decision or slate of this id")]
    Unknown,
    /// The decision has its reward already, or the slate its feedback.
    #[error("it has its reward or feedback already")]
    Twice,
    /// The horizon has passed: the decision went on with the default, or it has its reward already.
    #[error("the horizon has passed")]
    Late,
    /// The file that held the decision or slate is no longer there.
    #[error("the file that held its decision or slate is gone")]
    Gone,
    /// A reward was given to a slate.
    #[error("this is a slate, which takes feedback: `DecisionLog::feedback`")]
    TakesFeedback,
    /// Feedback was given to a decision.
    #[error("this is a single decision, which takes a reward: `DecisionLog::reward`")]
    TakesReward,
    /// Not one feedback for each chosen arm of the slate.
    #[error("there is feedback on {got} arms, expected {expected}: one for each chosen arm of the slate")]
    Count {
        /// How many arms were chosen.
        expected: usize,
        /// How many feedbacks there are.
        got: usize,
    },
}

impl LogError {
    /// Whether a file is not there.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether lines cannot be read, and nothing tells which.
    pub(super) fn loses_lines(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::File { .. } | Self::MissingFile { .. })
    }

    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn line(path: &Path, line: u64, problem: LineProblem) -> Self {
        Self::Line { path: path.to_owned(), line, problem }
    }
}

/// Refuses a value beyond ±1e100.
pub(super) fn check_value(what: &str, value: f64) -> Result<(), LineProblem> {
    if value.abs() <= 1e100 { Ok(()) } else { Err(LineProblem::NotFinite { what: what.to_owned(), value }) }
}

/// Refuses a choice with a score that JSON has no number for. The largest number is UCB1's score of an arm that nothing is
/// known of.
pub(super) fn check_choice(choice: &Choice) -> Result<(), LineProblem> {
    let Choice { score, mean, width, propensity_error, .. } = *choice;
    let values = [("score", score), ("mean", mean), ("width", width), ("propensity_error", propensity_error)];
    values.into_iter().filter(|(_, value)| *value != f64::MAX).try_for_each(|(what, value)| check_value(what, value))
}

/// The largest number is no id: there would be none after it.
pub(super) fn check_id(id: u64) -> Result<(), LineProblem> {
    if id < u64::MAX { Ok(()) } else { Err(LineProblem::Malformed(format!("{id} is no id"))) }
}

/// Refuses a propensity outside (0, 1].
pub(super) fn check_propensity(propensity: f64) -> Result<(), LineProblem> {
    if propensity > 0.0 && propensity <= 1.0 { Ok(()) } else { Err(LineProblem::Propensity(propensity)) }
}
