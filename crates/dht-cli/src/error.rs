//! Errors of the commands.

mod advice;

use std::path::PathBuf;

use dht_dynamic::transformer::Error as Inner;
use dht_dynamic::transformer::error::DataProblem;

use self::advice::advice;

/// Error of a command. Messages state what is wrong and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Error of the data, the model or the training.
    #[error("{}{}", .0, advice(.0))]
    Transformer(#[from] dht_dynamic::transformer::Error),
    /// Error of a model with early exits.
    #[error(transparent)]
    Dynamic(Box<dht_dynamic::Error>),
    /// Flag with a value that is not allowed.
    #[error("--{flag} is {got}, expected {expected}")]
    Argument {
        /// Name of the flag, without its dashes.
        flag: &'static str,
        /// Allowed values.
        expected: String,
        /// Value of the flag.
        got: String,
    },
    /// File of flags with a key or a value that is not allowed.
    #[error("{path}: {problem}", path = path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// The key, and what was expected.
        problem: String,
    },
    /// Picture of a model's scores that cannot be drawn.
    #[error("drawing the curve: {message}")]
    Curve {
        /// Reason of the failure.
        message: String,
    },
    /// File without the columns of the training.
    #[error("{problem}; the model was trained on that column: name this file's with {flags}")]
    OtherColumns {
        /// Flags that name columns.
        flags: &'static str,
        /// Missing column, and the columns of the file.
        problem: String,
    },
    /// Pairs of texts for a model of single texts.
    #[error("`--pair` cannot be used: this model was trained on single texts")]
    PairOfSingle,
    /// Column or member with the name of a column of answers.
    #[error(
        "{place} already has a column {name:?}: give the columns of answers other names, such as with `--prefix dht_`"
    )]
    AnswerColumn {
        /// The file or line.
        place: String,
        /// The name.
        name: String,
    },
    /// Member that the first object does not have, in an output of cells.
    #[error("line {line} has the member {name:?}, which the first line does not have: use `--output-format jsonl`")]
    OtherMember {
        /// The line.
        line: u64,
        /// The member.
        name: String,
    },
    /// Files whose answers do not fit into one table.
    #[error("{path} has another format or other columns than the first file: use `--output-format jsonl`, or one call for each file", path = path.display())]
    OtherTable {
        /// The file.
        path: PathBuf,
    },
    /// Cell that a tab-separated row cannot hold.
    #[error(
        "line {line}: a cell has a tab or a line end, which tsv cannot hold: use `--output-format csv` or `--output-format jsonl`"
    )]
    CellOfTsv {
        /// The line of its row.
        line: u64,
    },
    /// Directory of a model that cannot be used; all reasons are printed.
    #[error("{path} cannot be loaded: {reasons} reason{s}, listed above", path = path.display(), s = if *reasons == 1 { "" } else { "s" })]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Number of reasons.
        reasons: usize,
    },
    /// Texts that are neither on this disk nor known by name.
    #[error(
        "{name}: there is no such file or directory, and no data set is known by this name; known are {known}; \
         hf:OWNER/NAME or hf:OWNER/NAME/CONFIG, with @REVISION or without, is any data set on the Hugging Face hub"
    )]
    UnknownData {
        /// The name.
        name: String,
        /// Known names.
        known: String,
    },
    /// Path that is not a model to start from.
    #[error("{path} is not a model to start from, expected {expected}", path = path.display())]
    NoModel {
        /// The path.
        path: PathBuf,
        /// Allowed values.
        expected: &'static str,
    },
    /// Device that this build does not support.
    #[error("--device {device}: this build has no {feature} support; build with `--features {feature}`")]
    DeviceNotBuilt {
        /// The device.
        device: String,
        /// Feature that supports it.
        feature: &'static str,
    },
    /// Device that cannot be opened.
    #[error("--device {device} cannot be opened: {source}")]
    Device {
        /// The device.
        device: String,
        /// candle's error.
        source: candle_core::Error,
    },
    /// Too little data to train on.
    #[error("{data}: expected at least {least} {what}, got {got}")]
    TooLittle {
        /// The data set.
        data: String,
        /// Kind of the missing items.
        what: &'static str,
        /// Minimum number.
        least: usize,
        /// Number found.
        got: usize,
    },
    /// State of a different training at the path of this one.
    #[error(
        "{path} is of a stopped training of other texts or settings ({differs}): run its command again, \
         with --finish to make a model of it, or this one with --restart, which deletes it",
        path = path.display(),
    )]
    OtherTraining {
        /// Directory of its checkpoints.
        path: PathBuf,
        /// Setting that differs, with both values.
        differs: String,
    },
    /// Class of a model that is trained on, without a row among the new ones.
    #[error(
        "{data} has no row of the class {class:?}, which the model has: give rows of it by --also, such as those of \
         its training, or name labels of the file that stand for it by --label-map",
        data = data.display()
    )]
    ClassLost {
        /// Source of the new rows.
        data: PathBuf,
        /// The class.
        class: String,
    },
    /// Class of a model that is accelerated, without a row to learn from.
    #[error("{data} has no row of the class {class:?}, which the model has: give a file with rows of it", data = data.display())]
    ClassMissing {
        /// Source of the rows.
        data: PathBuf,
        /// The class.
        class: String,
    },
    /// State of a stopped training that cannot be resumed.
    #[error("{problem}: the stopped training cannot go on, --restart deletes its state and begins anew")]
    BadState {
        /// Problem of the state.
        problem: Box<dht_dynamic::transformer::Error>,
    },
    /// State of a stopped training without a readable description of that training.
    #[error(
        "{path} does not say what was trained: the state beside it cannot be resumed, --restart deletes it and begins anew",
        path = path.display()
    )]
    UndescribedState {
        /// File of the description.
        path: PathBuf,
    },
    /// No state of a stopped training, which is to be finished.
    #[error("{path} has no state of a stopped training: leave out --finish", path = path.display())]
    NothingToFinish {
        /// Directory of its checkpoints.
        path: PathBuf,
    },
    /// Model with other classes or for another task at the path of a new one.
    #[error("{path} holds a model of other labels ({differs}): choose another --out, or replace it by --replace", path = path.display())]
    OtherModel {
        /// Directory of the model.
        path: PathBuf,
        /// Labels or tasks in which both differ.
        differs: String,
    },
    /// Directory in which another process trains.
    #[error("another run uses {path}; wait until it has finished, or choose another --out", path = path.display())]
    InUse {
        /// Directory of its checkpoints.
        path: PathBuf,
    },
    /// Models that answer different questions.
    #[error("{first}, {second}: two models are compared by the same labels")]
    Incomparable {
        /// The first model, and what it answers.
        first: String,
        /// The second model, and what it answers.
        second: String,
    },
    /// Second model that may be worse than the first by more than is allowed.
    #[error("the lower end of B − A is {low}, and at most {most} may be lost (--fail-below)")]
    Worse {
        /// Lower end of the interval.
        low: String,
        /// Allowed loss.
        most: String,
    },
    /// Path that would be written, but holds something else.
    #[error("{path} was not written by this command; move it away, or choose another --out", path = path.display())]
    Foreign {
        /// The path.
        path: PathBuf,
    },
    /// Partitions that would have one output.
    #[error(
        "{first} and {second} would both be answered in {output}: give them other names, or an output each",
        first = first.display(), second = second.display(), output = output.display()
    )]
    OneOutput {
        /// A partition.
        first: PathBuf,
        /// Another one.
        second: PathBuf,
        /// Their output.
        output: PathBuf,
    },
    /// Output of a run with another model or other settings.
    #[error(
        "{path} has answers of another run ({differs}): choose another --output, or remove this one",
        path = path.display()
    )]
    OtherRun {
        /// The output.
        path: PathBuf,
        /// Setting that differs, with both values.
        differs: String,
    },
    /// Partition whose content changed.
    #[error("{path} changed while it was read ({problem}): its answers were not written", path = path.display())]
    PartitionChanged {
        /// The partition.
        path: PathBuf,
        /// Difference between both contents.
        problem: String,
    },
    /// Partition that is not the one that was answered.
    #[error(
        "{path} changed after its answers were written: remove {output}, or choose another --output",
        path = path.display(), output = output.display()
    )]
    AnsweredBefore {
        /// The partition.
        path: PathBuf,
        /// Its output.
        output: PathBuf,
    },
    /// Output that is not the one that a worker wrote.
    #[error(
        "{path} was not written by `dht predict --partitions`, or was changed: move it away, or choose another --output",
        path = path.display()
    )]
    ForeignOutput {
        /// The output.
        path: PathBuf,
    },
    /// Claim that another worker took over.
    #[error("{path}: another worker has taken over the claim", path = path.display())]
    ClaimLost {
        /// The output.
        path: PathBuf,
    },
    /// Partitions that could not be answered; each error was printed.
    #[error("{failed} of {all} partitions failed, for the reasons above")]
    FailedPartitions {
        /// Number of failures.
        failed: usize,
        /// Number of partitions.
        all: usize,
    },
    /// Object store that this build does not support.
    #[error("{url}: this build has no support of object stores; build with `--features s3`")]
    StoreNotBuilt {
        /// URL in the store.
        url: String,
    },
    /// Object store that refuses every request, or does not answer.
    #[error("{path}: {problem}: {advice}", path = path.display())]
    Store {
        /// URL of the request.
        path: PathBuf,
        /// Problem, with the store's own word for it.
        problem: String,
        /// Setting that would be right.
        advice: &'static str,
    },
    /// File or directory that could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<dht_dynamic::Error> for Error {
    fn from(error: dht_dynamic::Error) -> Self {
        match error {
            dht_dynamic::Error::Transformer(error) => Self::Transformer(error),
            other => Self::Dynamic(Box::new(other)),
        }
    }
}

impl Error {
    /// Returns whether a flag has a value that is not allowed here, like a value that cannot be parsed.
    pub(crate) fn is_of_arguments(&self) -> bool {
        matches!(
            self,
            Self::Argument { .. }
                | Self::Configuration { .. }
                | Self::UnknownData { .. }
                | Self::NoModel { .. }
                | Self::DeviceNotBuilt { .. }
                | Self::StoreNotBuilt { .. }
                | Self::Incomparable { .. }
        )
    }

    /// Exit code of a program that ends with this error.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Worse { .. } => 3,
            _ if self.is_of_arguments() => 2,
            _ => 1,
        }
    }

    /// Names flags in the error for texts without the columns of the training.
    pub(crate) fn of_other_columns(self, flags: &'static str) -> Self {
        match self {
            Self::Transformer(Inner::Data { problem: DataProblem::UnknownColumn { .. }, .. }) => {
                Self::OtherColumns { flags, problem: self.to_string() }
            }
            other => other,
        }
    }

    /// Creates the error of a flag with a value that is not allowed.
    pub(crate) fn argument(flag: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Argument { flag, expected: expected.into(), got: got.to_string() }
    }
}
