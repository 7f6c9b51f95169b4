//! What can go wrong in a command.

use std::path::PathBuf;

/// The errors of a command. Messages name what is wrong and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of the data, the model or the training.
    #[error(transparent)]
    Transformer(#[from] dht_dynamic::transformer::Error),
    /// An error of a model with early exits.
    #[error(transparent)]
    Dynamic(Box<dht_dynamic::Error>),
    /// A flag has a value that is not allowed.
    #[error("--{flag} is {got}, expected {expected}")]
    Argument {
        /// The flag, without its dashes.
        flag: &'static str,
        /// The allowed values.
        expected: String,
        /// Its value.
        got: String,
    },
    /// The picture of a model's scores cannot be drawn.
    #[error("drawing the curve: {message}")]
    Curve {
        /// What went wrong.
        message: String,
    },
    /// A file without the columns of the training.
    #[error("{problem}; the model was trained on that column: name this file's with --text-column")]
    OtherColumns {
        /// The column that is not there, and those that are.
        problem: String,
    },
    /// Pairs of texts for a model of single ones.
    #[error("`--pair` cannot be used: this model was trained on single texts")]
    PairOfSingle,
    /// A column or member that answers would take the name of.
    #[error(
        "{place} already has a column {name:?}: give the columns of answers other names, such as with `--prefix dht_`"
    )]
    AnswerColumn {
        /// The file or line.
        place: String,
        /// The name.
        name: String,
    },
    /// A member that the first object does not have, where cells are written.
    #[error("line {line} has the member {name:?}, which the first line does not have: use `--output jsonl`")]
    OtherMember {
        /// The line.
        line: u64,
        /// The member.
        name: String,
    },
    /// Files whose answers do not fit into one table.
    #[error("{path} has another format or other columns than the first file: use `--output jsonl`, or one call for each file", path = path.display())]
    OtherTable {
        /// The file.
        path: PathBuf,
    },
    /// A cell that a tab-separated row cannot hold.
    #[error(
        "line {line}: a cell has a tab or a line end, which tsv cannot hold: use `--output csv` or `--output jsonl`"
    )]
    CellOfTsv {
        /// The line of its row.
        line: u64,
    },
    /// A directory of a model that cannot be used, all reasons for which are printed.
    #[error("{path} cannot be loaded: {reasons} reason{s}, listed above", path = path.display(), s = if *reasons == 1 { "" } else { "s" })]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// The number of reasons.
        reasons: usize,
    },
    /// Texts that are neither on this disk nor known by name.
    #[error(
        "--data is {name}: there is no such file or directory, and no data set is known by this name; known are {known}; \
         hf:OWNER/NAME or hf:OWNER/NAME/CONFIG is any data set on the Hugging Face hub"
    )]
    UnknownData {
        /// The value of the flag.
        name: String,
        /// The known names.
        known: String,
    },
    /// A device that this build does not support.
    #[error("--device {device}: this build has no {feature} support; build with `--features {feature}`")]
    DeviceNotBuilt {
        /// The device.
        device: String,
        /// The feature that supports it.
        feature: &'static str,
    },
    /// A device that cannot be opened.
    #[error("--device {device} cannot be opened: {source}")]
    Device {
        /// The device.
        device: String,
        /// candle's error.
        source: candle_core::Error,
    },
    /// Too little data to train on.
    #[error("{data} has {got} {what}, expected at least {least}")]
    TooLittle {
        /// The data set.
        data: String,
        /// The kind of the missing items.
        what: &'static str,
        /// The minimum.
        least: usize,
        /// The number found.
        got: usize,
    },
    /// A stopped training of another kind where this one keeps its own.
    #[error(
        "{path} is of a stopped training of other texts or settings ({differs}): run its command again, or this one with --restart, \
         which deletes it",
        path = path.display(),
    )]
    OtherTraining {
        /// The directory of its checkpoints.
        path: PathBuf,
        /// The setting that differs, with both values.
        differs: String,
    },
    /// Another process trains there.
    #[error("another run uses {path}; wait until it has finished, or choose another --out", path = path.display())]
    InUse {
        /// The directory of its checkpoints.
        path: PathBuf,
    },
    /// Something else at a path that would be written.
    #[error("{path} was not written by this command; move it away, or choose another --out", path = path.display())]
    Foreign {
        /// The path.
        path: PathBuf,
    },
    /// A file or directory could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

/// The crate's result.
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
    /// A flag with a value that is not allowed.
    pub(crate) fn argument(flag: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Argument { flag, expected: expected.into(), got: got.to_string() }
    }
}
