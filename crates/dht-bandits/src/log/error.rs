//! Errors of logs: each names the problem and its location.

use std::io;
use std::path::{Path, PathBuf};

use crate::decision::{Choice, check_sparse};
use crate::error::{Error, Number};
use crate::validate::SPARSE;

/// Error of a refused line, reward or file. A writer that returned the error is unchanged. A reader is unchanged or
/// continues at the next line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Path of the file or folder.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A file has the name of a log file, but cannot be one.
    #[error("{path}: {problem}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Description of the problem.
        problem: LogProblem,
    },
    /// Another process, or another `DecisionLog`, writes to this folder.
    #[error("{path} is in use by another writer")]
    InUse {
        /// Path of the folder.
        path: PathBuf,
    },
    /// A line cannot be used.
    #[error("{path}, line {line}: {problem}")]
    Line {
        /// Path of the file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
        /// Description of the problem.
        problem: LogProblem,
    },
    /// A file of the log is missing between existing files: its content is lost.
    #[error("{path} is missing: the log continues with {next}")]
    MissingFile {
        /// Path of the missing file. Files after it may be missing as well.
        path: PathBuf,
        /// Path of the next existing file.
        next: PathBuf,
    },
    /// A reward, or the feedback on a slate, cannot be written.
    #[error("reward or feedback for id {id}: {problem}")]
    Reward {
        /// Id of the decision or slate.
        id: u64,
        /// Description of the problem.
        problem: LogProblem,
    },
    /// A value cannot be written.
    #[error("cannot be logged: {problem}")]
    Value {
        /// Description of the problem.
        problem: LogProblem,
    },
    /// A setting is out of its range.
    #[error(transparent)]
    Setting(#[from] Error),
}

/// Problem with a line, a file, a reward or a value of a log.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LogProblem {
    /// The line is malformed: cut off, not JSON, or of another shape.
    #[error("malformed: {0}")]
    Malformed(String),
    /// A column or field is missing.
    #[error("there is no {0}")]
    Missing(String),
    /// A propensity is not in (0, 1].
    #[error("propensity {} is outside (0, 1]", Number(*.0))]
    Propensity(f64),
    /// A value is NaN, infinite or beyond ±1e100.
    #[error("{what} is {}, expected a number within ±1e100", Number(*value))]
    NotFinite {
        /// Name of the value.
        what: String,
        /// Value that was read or passed.
        value: f64,
    },
    /// The policy, or the line itself, does not have this action.
    #[error("unknown action {0}")]
    UnknownAction(String),
    /// No reader of this crate reads lines of this type.
    #[error("{0} are not supported")]
    Unsupported(&'static str),
    /// A reward, or feedback, belongs to no decision or slate.
    #[error("reward or feedback for id {id}: {problem}")]
    Reward {
        /// Id of the decision or slate to which the line refers.
        id: u64,
        /// Description of the problem.
        problem: Box<LogProblem>,
    },
    /// The reader of decisions met a slate, or the reader of slates a decision.
    #[error("{what} {id} is read by {reader}")]
    OtherReader {
        /// Type of the line: `slate` or `decision`.
        what: &'static str,
        /// Id in the line.
        id: u64,
        /// Reader to use.
        reader: &'static str,
    },
    /// A slate does not belong to the request with which it is logged.
    #[error("the slate was not chosen for this request: {0}")]
    Contradiction(String),
    /// The ids of decisions and slates do not ascend.
    #[error("id {id} comes after id {last}, expected ids that ascend")]
    Order {
        /// Id of this line.
        id: u64,
        /// Largest id before this line.
        last: u64,
    },
    /// The file is a folder, a device or a pipe, or a symbolic link to one.
    #[error("this is not a regular file, and a log has only regular files")]
    NotRegular,
    /// The name of the log's next file is already in use.
    #[error("the log cannot create this file, which exists already and was not written by the log: move it elsewhere")]
    Exists,
    /// The file has the last possible number.
    #[error("this file has the last possible number, and was not written by the log: move it elsewhere")]
    LastNumber,
    /// The log ends before the position at which a policy was saved: the policy belongs to another log, or lines were
    /// lost.
    #[error(
        "the file has {length} bytes, the policy was saved at byte {byte}: it belongs to another log, or lines were lost"
    )]
    EndsBefore {
        /// Length of the file; 0 if the file is missing.
        length: u64,
        /// Position in the file at which the policy was saved.
        byte: u64,
    },
    /// The bytes before the position at which a policy was saved have changed: the policy belongs to another log, or
    /// lines were replaced.
    #[error(
        "the line before byte {byte} is not the one after which the policy was saved: the policy belongs to another log, or \
         lines were replaced. Catch up with the log that it was saved with"
    )]
    OtherBytes {
        /// Position in the file at which the policy was saved.
        byte: u64,
    },
    /// The newest file and all files before it are empty or missing.
    #[error(
        "the next id is unknown, because this file and all files before it are empty or missing: restore the file before \
         this one, or use another folder"
    )]
    NoIds,
    /// The log holds no decision or slate with this id.
    #[error("the log holds no decision or slate of this id")]
    Unknown,
    /// The decision already has its reward, or the slate its feedback.
    #[error("it has its reward or feedback already")]
    Twice,
    /// The horizon of the decision has passed: the decision was joined with the default reward, or already has its
    /// reward.
    #[error("the horizon has passed")]
    Late,
    /// The file that held the decision or slate was deleted.
    #[error("the file that held its decision or slate was deleted")]
    Gone,
    /// A reward was given to a slate.
    #[error("this is a slate, which takes feedback: `DecisionLog::feedback`")]
    TakesFeedback,
    /// Feedback was given to a decision.
    #[error("this is a single decision, which takes a reward: `DecisionLog::reward`")]
    TakesReward,
    /// The number of feedbacks differs from the number of arms that the slate chose.
    #[error("there is feedback on {got} arms, expected {expected}: one for each chosen arm of the slate")]
    Count {
        /// Number of arms that the slate chose.
        expected: usize,
        /// Number of feedbacks.
        got: usize,
    },
}

impl LogProblem {
    /// Converts the error of a row that was checked alone, without the other rows of its log.
    pub(super) fn of_row(error: Error) -> Self {
        let text = if let Error::InRound { source, .. } = &error { source.to_string() } else { error.to_string() };
        Self::Malformed(text)
    }
}

impl LogError {
    /// Returns whether a file is missing.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Returns whether an unknown number of lines could not be read.
    pub(super) fn loses_lines(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::File { .. } | Self::MissingFile { .. })
    }

    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn line(path: &Path, line: u64, problem: LogProblem) -> Self {
        Self::Line { path: path.to_owned(), line, problem }
    }
}

/// Refuses a value beyond ±1e100.
pub(super) fn check_value(what: &str, value: f64) -> Result<(), LogProblem> {
    if value.abs() <= 1e100 { Ok(()) } else { Err(LogProblem::NotFinite { what: what.to_owned(), value }) }
}

/// Refuses a dense context with a value beyond ±1e100, and a damaged sparse context.
pub(super) fn check_stored(what: &str, values: &[f64]) -> Result<(), LogProblem> {
    if values.first() == Some(&SPARSE) {
        return check_sparse(values).map(drop).map_err(|error| LogProblem::Malformed(error.to_string()));
    }
    values.iter().try_for_each(|&value| check_value(what, value))
}

/// Refuses a choice with a score that JSON cannot represent. The largest `f64` is accepted, since it is UCB1's score
/// for an arm without rewards.
pub(super) fn check_choice(choice: &Choice) -> Result<(), LogProblem> {
    let Choice { score, mean, width, propensity_error, .. } = *choice;
    let values = [("score", score), ("mean", mean), ("width", width), ("propensity_error", propensity_error)];
    values.into_iter().filter(|(_, value)| *value != f64::MAX).try_for_each(|(what, value)| check_value(what, value))
}

/// Refuses the largest possible id, since no id could follow.
pub(super) fn check_id(id: u64) -> Result<(), LogProblem> {
    if id < u64::MAX { Ok(()) } else { Err(LogProblem::Malformed(format!("{id} is no id"))) }
}

/// Refuses a propensity outside (0, 1].
pub(super) fn check_propensity(propensity: f64) -> Result<(), LogProblem> {
    if propensity > 0.0 && propensity <= 1.0 { Ok(()) } else { Err(LogProblem::Propensity(propensity)) }
}
