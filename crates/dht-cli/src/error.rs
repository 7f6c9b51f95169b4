//! Errors of the commands.

mod advice;

use std::path::PathBuf;

use dht_dynamic::transformer::Error as Inner;
use dht_dynamic::transformer::error::DataProblem;

use self::advice::advice;

/// Error of a command of `dht`. The message states what is wrong and what was expected.
///
/// # Examples
/// ```
/// use dht_cli::Error;
///
/// let error = Error::InUse { path: "news.training".into() };
/// let message = "another run uses news.training; wait until it has finished, or choose another --out";
/// assert_eq!(error.to_string(), message);
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Error of the data, the model or the training run.
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
        /// Value on the command line.
        got: String,
    },
    /// Configuration file with a key or value that is not allowed.
    #[error("{path}: {problem}", path = path.display())]
    Configuration {
        /// Path of the file.
        path: PathBuf,
        /// Key in the file, and the expected value.
        problem: String,
    },
    /// Diagram or page of a model's scores that cannot be drawn.
    #[error("drawing the curve: {message}")]
    Curve {
        /// Message of the drawing library.
        message: String,
    },
    /// Input file without the columns that the model was trained on.
    #[error("{problem}; the model was trained on that column: name this file's column with {flags}")]
    OtherColumns {
        /// Names of flags with which other columns can be selected.
        flags: &'static str,
        /// Missing column, and the columns of the file.
        problem: String,
    },
    /// Pairs of texts for a model that was trained on single texts.
    #[error("`--pair` cannot be used: this model was trained on single texts")]
    PairOfSingle,
    /// Input column or JSON member with the same name as a column that answers add.
    #[error(
        "{place} already has a column {name:?}: give the columns of answers other names, such as with `--prefix dht_`"
    )]
    AnswerColumn {
        /// File or line with the column.
        place: String,
        /// Name of the column or member.
        name: String,
    },
    /// JSON member that the first input object does not have. Output in csv or tsv therefore has no column for it.
    #[error("line {line} has the member {name:?}, which the first line does not have: use `--output-format jsonl`")]
    OtherMember {
        /// Number of the input line.
        line: u64,
        /// Name of the member.
        name: String,
    },
    /// Input file whose columns differ from those of the first file, so that their answers do not fit into one table.
    #[error("{path} has another format or other columns than the first file: use `--output-format jsonl`, or one call for each file", path = path.display())]
    OtherTable {
        /// Path of the input file with other columns.
        path: PathBuf,
    },
    /// Cell with a tab or line end, which a tab-separated row cannot hold.
    #[error(
        "line {line}: a cell has a tab or a line end, which tsv cannot hold: use `--output-format csv` or `--output-format jsonl`"
    )]
    CellOfTsv {
        /// Number of the input line.
        line: u64,
    },
    /// Model directory that cannot be used. The reasons are printed before this error.
    #[error("{path} cannot be loaded: {reasons} reason{s}, listed above", path = path.display(), s = if *reasons == 1 { "" } else { "s" })]
    Unusable {
        /// Path of the directory.
        path: PathBuf,
        /// Number of printed reasons.
        reasons: usize,
    },
    /// Name that is neither an existing path nor a known data set.
    #[error(
        "{name}: there is no such file or directory, and no data set is known by this name; known are {known}; \
         hf:OWNER/NAME or hf:OWNER/NAME/CONFIG, with @REVISION or without, is any data set on the Hugging Face hub"
    )]
    UnknownData {
        /// Name on the command line.
        name: String,
        /// Known names of data sets.
        known: String,
    },
    /// Path that is not a model with which training can start.
    #[error("{path} is not a model to start from, expected {expected}", path = path.display())]
    NoModel {
        /// Path on the command line.
        path: PathBuf,
        /// Description of allowed values.
        expected: &'static str,
    },
    /// Device that this build does not support.
    #[error("--device {device}: this build has no {feature} support; build with `--features {feature}`")]
    DeviceNotBuilt {
        /// Name of the device.
        device: String,
        /// Cargo feature that adds support.
        feature: &'static str,
    },
    /// Device that cannot be opened.
    #[error("--device {device} cannot be opened: {source}")]
    Device {
        /// Name of the device.
        device: String,
        /// Error of candle.
        source: candle_core::Error,
    },
    /// Too little data to train on.
    #[error("{data}: expected at least {least} {what}, got {got}")]
    TooLittle {
        /// Name of the data set.
        data: String,
        /// Items of which there are too few, such as rows.
        what: &'static str,
        /// Minimum number of items.
        least: usize,
        /// Actual number of items.
        got: usize,
    },
    /// Saved state at this training run's path that belongs to a stopped run with other texts or settings.
    #[error(
        "{path} has the state of a stopped training run with other texts or settings ({differs}): run its command again, \
         add --finish there to make a model of the state, or add --restart here to delete it",
        path = path.display(),
    )]
    OtherTraining {
        /// Directory of the saved state.
        path: PathBuf,
        /// First setting that differs, with its values in both runs.
        differs: String,
    },
    /// Class without new rows, in a model that is to be trained further.
    #[error(
        "{data} has no row of the class {class:?}, which the model has: add rows of it with --also, such as the \
         earlier training rows, or map labels of the file to it with --label-map",
        data = data.display()
    )]
    ClassLost {
        /// Source of the new rows.
        data: PathBuf,
        /// Name of the class.
        class: String,
    },
    /// Class without rows, in a classifier that is to be accelerated.
    #[error("{data} has no row of the class {class:?}, which the model has: give a file with rows of it", data = data.display())]
    ClassMissing {
        /// Source of the rows.
        data: PathBuf,
        /// Name of the class.
        class: String,
    },
    /// Saved state of a stopped training run that cannot be resumed.
    #[error("{problem}: the stopped training run cannot be resumed; --restart deletes its state and starts again")]
    BadState {
        /// Reason why the state cannot be resumed.
        problem: Box<dht_dynamic::transformer::Error>,
    },
    /// Saved state of a stopped training run whose description cannot be read.
    #[error(
        "{path} does not say what was trained: the state beside it cannot be resumed; --restart deletes it and starts again",
        path = path.display()
    )]
    UndescribedState {
        /// Path of the file with the run's description.
        path: PathBuf,
    },
    /// Missing saved state of the training run that `--finish` should complete.
    #[error("{path} has no state of a stopped training run: leave out --finish", path = path.display())]
    NothingToFinish {
        /// Expected directory of the saved state.
        path: PathBuf,
    },
    /// Existing model at the output path, with other classes or another task.
    #[error("{path} holds a model of other labels ({differs}): choose another --out, or replace the model with --replace", path = path.display())]
    OtherModel {
        /// Path of the existing model.
        path: PathBuf,
        /// Labels or tasks of both models, which differ.
        differs: String,
    },
    /// Directory that the training run of another process is using.
    #[error("another run uses {path}; wait until it has finished, or choose another --out", path = path.display())]
    InUse {
        /// Directory of the other run's saved state.
        path: PathBuf,
    },
    /// Models with different labels or tasks, which cannot be compared.
    #[error("{first}, {second}: only models with the same labels can be compared")]
    Incomparable {
        /// First model with its labels or task.
        first: String,
        /// Second model with its labels or task.
        second: String,
    },
    /// Second model in a comparison, whose score may be too far below that of the first model.
    #[error("the lower end of B − A is {low}, and at most {most} may be lost (--fail-below)")]
    Worse {
        /// Lower end of the 95 % interval of the difference, second minus first model.
        low: String,
        /// Maximum allowed loss.
        most: String,
    },
    /// Output path that exists and was not written by this program.
    #[error("{path} was not written by this command; move it away, or choose another --out", path = path.display())]
    Foreign {
        /// Output path.
        path: PathBuf,
    },
    /// Two partitions whose answers would have the same output path.
    #[error(
        "{first} and {second} would both be answered in {output}: rename one of them, or use a separate --output for each",
        first = first.display(), second = second.display(), output = output.display()
    )]
    OneOutput {
        /// Path of the first partition.
        first: PathBuf,
        /// Path of the second partition.
        second: PathBuf,
        /// Output path of both partitions.
        output: PathBuf,
    },
    /// Existing output of a run with another model or other settings.
    #[error(
        "{path} has answers of another run ({differs}): choose another --output, or remove this one",
        path = path.display()
    )]
    OtherRun {
        /// Path of the output.
        path: PathBuf,
        /// First setting that differs, with its values in both runs.
        differs: String,
    },
    /// Unfinished output of `dht predict --resume` that cannot be continued.
    #[error("{path} cannot be continued: {problem}; remove it to begin again", path = path.display())]
    Unresumable {
        /// Unfinished output.
        path: PathBuf,
        /// Damage of its files, or change of the input.
        problem: String,
    },
    /// Partition whose content changed while it was read.
    #[error("{path} changed while it was read ({problem}): its answers were not written", path = path.display())]
    PartitionChanged {
        /// Path of the partition.
        path: PathBuf,
        /// Difference between the old and the new content.
        problem: String,
    },
    /// Partition (part of a large input) that changed after its answers were written.
    #[error(
        "{path} changed after its answers were written: remove {output}, or choose another --output",
        path = path.display(), output = output.display()
    )]
    AnsweredBefore {
        /// Path of the partition.
        path: PathBuf,
        /// Path of the output with the answers.
        output: PathBuf,
    },
    /// Output file that no worker of `dht predict --partitions` wrote, or that was changed afterwards.
    #[error(
        "{path} was not written by `dht predict --partitions`, or was changed: move it away, or choose another --output",
        path = path.display()
    )]
    ForeignOutput {
        /// Path of the output.
        path: PathBuf,
    },
    /// Claim on a partition (right to answer it) that another worker has taken over.
    #[error("{path}: another worker has taken over the claim", path = path.display())]
    ClaimLost {
        /// Output path of the partition.
        path: PathBuf,
    },
    /// Partitions (parts of a large input) that could not be answered. Their errors were printed before.
    #[error("{failed} of {all} partitions failed, for the reasons above")]
    FailedPartitions {
        /// Number of partitions that could not be answered.
        failed: usize,
        /// Total number of partitions.
        all: usize,
    },
    /// Object store that this build does not support.
    #[error("{url}: this build does not support object stores; build with `--features s3`")]
    StoreNotBuilt {
        /// URL on the command line.
        url: String,
    },
    /// Object store that rejects all requests or does not answer.
    #[error("{path}: {problem}: {advice}", path = path.display())]
    Store {
        /// URL of the request.
        path: PathBuf,
        /// Problem, with the store's error code.
        problem: String,
        /// Advice on which setting to change.
        advice: &'static str,
    },
    /// File or directory that could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Path of the file or directory.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
}

/// Result with the [`Error`] of this crate.
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
    /// Returns whether the error is about a flag's value. The exit code is then the same as for a value that cannot be
    /// parsed.
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

    /// Exit code of the program after this error.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Worse { .. } => 3,
            _ if self.is_of_arguments() => 2,
            _ => 1,
        }
    }

    /// Adds the names of column flags to an error about an input file that lacks the columns of the model's training
    /// data.
    pub(crate) fn of_other_columns(self, flags: &'static str) -> Self {
        match self {
            Self::Transformer(Inner::Data { problem: DataProblem::UnknownColumn { .. }, .. }) => {
                Self::OtherColumns { flags, problem: self.to_string() }
            }
            other => other,
        }
    }

    pub(crate) fn argument(flag: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Argument { flag, expected: expected.into(), got: got.to_string() }
    }
}
