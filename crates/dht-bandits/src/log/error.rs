//! Errors of log readers and writers. Each states the problem and its location.

use std::io;
use std::path::{Path, PathBuf};

use crate::decision::{Choice, check_sparse};
use crate::error::{Error, Number};
use crate::validate::SPARSE;

/// Error of a log reader or writer. A writer is unchanged after an error. A reader is unchanged or continues at the
/// next line.
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
    /// A file has the name of a log file, but cannot be used as one.
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
    /// A line of a log is invalid.
    #[error("{path}, line {line}: {problem}")]
    Line {
        /// Path of the file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
        /// Description of the problem.
        problem: LogProblem,
    },
    /// A file of the log is missing, while earlier and later files exist. Its content is lost.
    #[error("{path} is missing: the log continues with {next}")]
    MissingFile {
        /// Path of the missing file. Files after it may also be missing.
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
    /// A value cannot be written to the log.
    #[error("cannot be logged: {problem}")]
    Value {
        /// Description of the problem.
        problem: LogProblem,
    },
    /// A setting is out of its range.
    #[error(transparent)]
    Setting(#[from] Error),
}

/// Problem with a line, file, reward or value of a log.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LogProblem {
    /// The line is not valid: incomplete, not JSON, or JSON of another structure.
    #[error("malformed: {0}")]
    Malformed(String),
    /// A required column or field is missing.
    #[error("there is no {0}")]
    Missing(String),
    /// A propensity (probability of the logged choice) is not in (0, 1].
    #[error("propensity {} is outside (0, 1]", Number(*.0))]
    Propensity(f64),
    /// A value is NaN, infinite or beyond ±1e100.
    #[error("{what} is {}, expected a number within ±1e100", Number(*value))]
    NotFinite {
        /// Name of the value.
        what: String,
        /// Invalid value.
        value: f64,
    },
    /// The action is not among the arms of the policy, or among the actions of the same line.
    #[error("unknown action {0}")]
    UnknownAction(String),
    /// The line has a type that this crate cannot read.
    #[error("{0} are not supported")]
    Unsupported(&'static str),
    /// A reward or feedback does not belong to a decision or slate of the log.
    #[error("reward or feedback for id {id}: {problem}")]
    Reward {
        /// Id of the decision or slate to which the line refers.
        id: u64,
        /// Description of the problem.
        problem: Box<LogProblem>,
    },
    /// A log reader for single decisions found a slate (list of arms shown at once), or the reverse.
    #[error("{what} {id} is read by {reader}")]
    OtherReader {
        /// Type of the record in the line: `slate` or `decision`.
        what: &'static str,
        /// Id of the record.
        id: u64,
        /// Reader that can read the record.
        reader: &'static str,
    },
    /// A slate (list of arms shown at once) contradicts the request with which it should be logged.
    #[error("the slate was not chosen for this request: {0}")]
    Contradiction(String),
    /// The ids of decisions and slates are not in ascending order.
    #[error("id {id} comes after id {last}, expected ids that ascend")]
    Order {
        /// Id in this line.
        id: u64,
        /// Largest id before this line.
        last: u64,
    },
    /// The file is not a regular file: it is a folder, a device or a pipe, or a symbolic link to one.
    #[error("this is not a regular file, and a log has only regular files")]
    NotRegular,
    /// The next log file cannot be created, because its name is already in use.
    #[error("the log cannot create this file, which exists already and was not written by the log: move it elsewhere")]
    Exists,
    /// The log cannot be continued, because its newest file has the largest possible number.
    #[error("this file has the last possible number, and was not written by the log: move it elsewhere")]
    LastNumber,
    /// The log ends before the position at which the policy was saved. Either the policy belongs to another log, or
    /// lines were lost.
    #[error(
        "the file has {length} bytes, the policy was saved at byte {byte}: it belongs to another log, or lines were lost"
    )]
    EndsBefore {
        /// Length of the log file in bytes; 0 if the file is missing.
        length: u64,
        /// Byte in the log file at which the policy was saved.
        byte: u64,
    },
    /// The log has changed before the position at which the policy was saved. Either the policy belongs to another log,
    /// or lines were replaced.
    #[error(
        "the line before byte {byte} is not the one after which the policy was saved: the policy belongs to another log, or \
         lines were replaced. Catch up with the log that it was saved with"
    )]
    OtherBytes {
        /// Byte in the log file at which the policy was saved.
        byte: u64,
    },
    /// The next id is unknown, because the newest file and all files before it are empty or missing.
    #[error(
        "the next id is unknown, because this file and all files before it are empty or missing: restore the file before \
         this one, or use another folder"
    )]
    NoIds,
    /// The log does not contain a decision or slate with this id.
    #[error("the log holds no decision or slate of this id")]
    Unknown,
    /// The decision already has a reward, or the slate has feedback.
    #[error("it has its reward or feedback already")]
    Twice,
    /// The reward is late: the horizon (longest waiting time) of its decision has passed. Readers use an earlier reward
    /// or the default reward.
    #[error("the horizon has passed")]
    Late,
    /// The file that held the decision or slate was deleted.
    #[error("the file that held its decision or slate was deleted")]
    Gone,
    /// A reward was passed for a slate (list of arms shown at once), which requires feedback on each arm.
    #[error("this is a slate, which takes feedback: `DecisionLog::feedback`")]
    TakesFeedback,
    /// Feedback was passed for a single decision, which requires a reward.
    #[error("this is a single decision, which takes a reward: `DecisionLog::reward`")]
    TakesReward,
    /// The number of feedbacks is not the number of chosen arms in the slate.
    #[error("there is feedback on {got} arms, expected {expected}: one for each chosen arm of the slate")]
    Count {
        /// Number of chosen arms of the slate.
        expected: usize,
        /// Number of feedbacks that were passed.
        got: usize,
    },
}

impl LogProblem {
    /// Converts the error of a check on a single row. The row's index is left out, because it would always be 0.
    pub(super) fn of_row(error: Error) -> Self {
        let text = if let Error::InRound { source, .. } = &error { source.to_string() } else { error.to_string() };
        Self::Malformed(text)
    }
}

impl LogError {
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Returns whether the error prevented an unknown number of lines from being read.
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

pub(super) fn check_value(what: &str, value: f64) -> Result<(), LogProblem> {
    if value.abs() <= 1e100 { Ok(()) } else { Err(LogProblem::NotFinite { what: what.to_owned(), value }) }
}

/// Checks a stored context: dense values must be within ±1e100, and a sparse context must be valid.
pub(super) fn check_stored(what: &str, values: &[f64]) -> Result<(), LogProblem> {
    if values.first() == Some(&SPARSE) {
        return check_sparse(values).map(drop).map_err(|error| LogProblem::Malformed(error.to_string()));
    }
    values.iter().try_for_each(|&value| check_value(what, value))
}

/// Checks that JSON can represent the scores of a choice. The largest `f64` is accepted, because UCB1 assigns it to an
/// arm without rewards.
pub(super) fn check_choice(choice: &Choice) -> Result<(), LogProblem> {
    let Choice { score, mean, width, propensity_error, .. } = *choice;
    let values = [("score", score), ("mean", mean), ("width", width), ("propensity_error", propensity_error)];
    values.into_iter().filter(|(_, value)| *value != f64::MAX).try_for_each(|(what, value)| check_value(what, value))
}

/// Returns an error for the largest possible id, because no id could follow it.
pub(super) fn check_id(id: u64) -> Result<(), LogProblem> {
    if id < u64::MAX { Ok(()) } else { Err(LogProblem::Malformed(format!("{id} is no id"))) }
}

pub(super) fn check_propensity(propensity: f64) -> Result<(), LogProblem> {
    if propensity > 0.0 && propensity <= 1.0 { Ok(()) } else { Err(LogProblem::Propensity(propensity)) }
}
