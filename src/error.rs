//! The errors of a run.

use std::path::PathBuf;

/// The errors of a run. Messages name what is wrong and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of the data, the model or the training.
    #[error(transparent)]
    Transformer(#[from] dht_transformer::Error),
    /// An error of the search.
    #[error(transparent)]
    Search(Box<dht_search::Error>),
    /// An error of the architecture search.
    #[error(transparent)]
    Nas(Box<dht_nas::Error>),
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
    /// A flag without another that it needs.
    #[error("--{flag} needs --{needs}")]
    Needs {
        /// The flag that was given.
        flag: &'static str,
        /// The flag that is missing.
        needs: &'static str,
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
    /// A file of texts is not the one that a list of checksums names.
    #[error(
        "{path} has the SHA-256 {found}, but {sums} says {expected}: it is damaged or not completely downloaded; get it again",
        path = path.display(), sums = sums.display(),
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The list of checksums.
        sums: PathBuf,
        /// The checksum in the list.
        expected: String,
        /// The file's checksum.
        found: String,
    },
    /// An error of what the examples share with the command `dht`: devices.
    #[error(transparent)]
    Command(Box<dht_cli::Error>),
    /// A file or directory could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file is not the record of a run, or a record cannot be written.
    #[error("{path}: {problem}", path = path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The reason.
        problem: RecordProblem,
    },
    /// A figure could not be drawn.
    #[error("figure {figure}: {message}")]
    Figure {
        /// The figure's file name.
        figure: String,
        /// The error of the drawing library.
        message: String,
    },
    /// A file that no run wrote, at a path that this run would write to.
    #[error("{path} was not written by a run of this kind, and this run would overwrite it; move it away, or choose another path", path = path.display())]
    ForeignFile {
        /// The file.
        path: PathBuf,
    },
    /// A directory with the steps of another run.
    #[error(
        "{out} has the steps of another run: its {what} is {stored}, that of this run {asked}; the same command goes on there, \
         another one needs another directory, or this one deleted",
        out = out.display(),
    )]
    OtherSteps {
        /// The directory.
        out: PathBuf,
        /// In what the two differ.
        what: String,
        /// That of the run there.
        stored: String,
        /// That of this run.
        asked: String,
    },
    /// Steps of a run that is not known.
    #[error(
        "{steps} has steps, but no {file} beside it says of which run: delete it to start anew, or choose another --out",
        steps = steps.display(),
    )]
    UnknownSteps {
        /// The directory of the steps.
        steps: PathBuf,
        /// The file that is missing.
        file: &'static str,
    },
    /// Parts of a reproduction failed; the others are in its record.
    #[error(
        "{count} parts failed; the record names them with their reasons, and running the command again tries them again"
    )]
    FailedRows {
        /// The number of trainings that failed.
        count: usize,
    },
    /// A text without the marker lines.
    #[error("expected the line {start} and after it the line {end}, each once")]
    Markers {
        /// The line before the results.
        start: &'static str,
        /// The line after the results.
        end: &'static str,
    },
}

/// Why a file is not read as a record, or a record is not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordProblem {
    /// It is not JSON, or a field is missing or of another type.
    #[error("is not a record: {message}")]
    Content {
        /// The parser's message.
        message: String,
    },
    /// It was written by another release, and its numbers are not comparable.
    #[error("has schema {found}, expected {expected}: repeat the run with this release")]
    OtherVersion {
        /// The schema of the file.
        found: u64,
        /// The schema that this release reads and writes.
        expected: u32,
    },
    /// A number is NaN or infinite, which JSON cannot represent.
    #[error("{field} is not a finite number")]
    NotFinite {
        /// The path of its keys.
        field: String,
    },
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<dht_cli::Error> for Error {
    fn from(error: dht_cli::Error) -> Self {
        match error {
            dht_cli::Error::Foreign { path } => Self::ForeignFile { path },
            other => Self::Command(Box::new(other)),
        }
    }
}

impl From<dht_nas::Error> for Error {
    fn from(error: dht_nas::Error) -> Self {
        match error {
            dht_nas::Error::Transformer(error) => Self::Transformer(error),
            other => Self::Nas(Box::new(other)),
        }
    }
}

impl From<dht_dynamic::Error> for Error {
    fn from(error: dht_dynamic::Error) -> Self {
        dht_search::Error::from(error).into()
    }
}

impl From<dht_search::Error> for Error {
    fn from(error: dht_search::Error) -> Self {
        match error {
            dht_search::Error::Transformer(error) => Self::Transformer(error),
            other => Self::Search(Box::new(other)),
        }
    }
}
