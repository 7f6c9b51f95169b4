//! Errors of a run.

use std::path::PathBuf;
use std::process::ExitCode;

/// Error of an experiment. The message states what is wrong and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Error in the data, the model or a training run, from the crate `dht-transformer`.
    #[error(transparent)]
    Transformer(#[from] dht_transformer::Error),
    /// Error of a search for routes, from the crate `dht-search`.
    #[error(transparent)]
    Search(Box<dht_search::Error>),
    /// Error of an architecture search, from the crate `dht-nas`.
    #[error(transparent)]
    Nas(Box<dht_nas::Error>),
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
    /// Flag that requires another flag, which is missing.
    #[error("--{flag} needs --{needs}")]
    Needs {
        /// Flag on the command line.
        flag: &'static str,
        /// Flag that is missing.
        needs: &'static str,
    },
    /// Too little data to train on.
    #[error("{data}: expected at least {least} {what}, got {got}")]
    TooLittle {
        /// Name of the data set.
        data: String,
        /// Items of which there are too few: `rows` or `classes`.
        what: &'static str,
        /// Minimum number of items.
        least: usize,
        /// Actual number of items.
        got: usize,
    },
    /// File of texts that differs from its entry in a list of checksums.
    #[error(
        "{path} has the SHA-256 {found}, but {sums} says {expected}: it is damaged or not completely downloaded; get it again",
        path = path.display(), sums = sums.display(),
    )]
    Checksum {
        /// Path of the file.
        path: PathBuf,
        /// Path of the list of checksums.
        sums: PathBuf,
        /// Checksum in the list.
        expected: String,
        /// Checksum of the file.
        found: String,
    },
    /// Error of code that the examples share with the command `dht`, such as the selection of a device.
    #[error(transparent)]
    Command(Box<dht_cli::Error>),
    /// File or directory that could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Path of the file or directory.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// File that cannot be read or written as the result file of a run.
    #[error("{path}: {problem}", path = path.display())]
    Record {
        /// Path of the file.
        path: PathBuf,
        /// Reason of the failure.
        problem: RecordProblem,
    },
    /// Figure that could not be drawn.
    #[error("figure {figure}: {message}")]
    Figure {
        /// File name of the figure.
        figure: String,
        /// Error of the drawing library.
        message: String,
    },
    /// Existing file that this program did not write, at one of its output paths.
    #[error("{path} was not written by a run of this kind, and this run would overwrite it; move it away, or choose another path", path = path.display())]
    ForeignFile {
        /// Path of the file.
        path: PathBuf,
    },
    /// Output directory with stored results of a run with other settings.
    #[error(
        "{out} has the steps of another run: its {what} is {stored}, and this run has {asked}. Repeat the same \
         command to resume that run, choose another directory, or delete this one",
        out = out.display(),
    )]
    OtherSteps {
        /// Path of the directory.
        out: PathBuf,
        /// Setting in which the runs differ.
        what: String,
        /// Value in the stored run.
        stored: String,
        /// Value in the present run.
        asked: String,
    },
    /// Directory of stored results without the file `run.json`, which identifies their run.
    #[error(
        "{steps} has steps, but no {file} beside it that names their run: delete {steps} to start again, or choose another --out",
        steps = steps.display(),
    )]
    UnknownSteps {
        /// Directory of the stored results.
        steps: PathBuf,
        /// File that is missing.
        file: &'static str,
    },
    /// Reproduction in which some training runs failed. The results of all others are written.
    #[error(
        "{count} parts failed; the record names them with their reasons, and running the command again tries them again"
    )]
    FailedRows {
        /// Number of failed training runs.
        count: usize,
    },
    /// Text without the marker lines around its generated part.
    #[error("expected the line {start} and after it the line {end}, each once")]
    Markers {
        /// Marker line before the generated part.
        start: &'static str,
        /// Marker line after the generated part.
        end: &'static str,
    },
}

/// Reason why a result file cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordProblem {
    /// Content that is not JSON, lacks a field, or has a field of the wrong type.
    #[error("is not a record: {message}")]
    Content {
        /// Message of the parser.
        message: String,
    },
    /// Other version of the result file, whose numbers are not comparable with this release's.
    #[error("has schema {found}, expected {expected}: repeat the run with this release")]
    OtherVersion {
        /// Version in the file.
        found: u64,
        /// Version that this release reads and writes.
        expected: u32,
    },
    /// Number that is NaN or infinite, which JSON cannot represent.
    #[error("{field} is not a finite number")]
    NotFinite {
        /// Keys that lead to the number in the record.
        field: String,
    },
}

/// Result with the [`Error`] of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Converts the result of an example to an exit code. Prints an error as `error: …` on standard error. The code is 0
/// for success, 2 for a flag with a value that is not allowed, and 1 for any other error. The command `dht` uses the
/// same codes.
pub fn exit_code(result: Result<()>) -> ExitCode {
    let is_of_arguments = matches!(&result, Err(Error::Argument { .. } | Error::Needs { .. }));
    let code = match result {
        Err(Error::Command(error)) => dht_cli::exit_code(Err(*error)),
        other => dht_cli::exit_code(other),
    };
    if is_of_arguments { ExitCode::from(2) } else { code }
}

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
            dht_search::Error::Dynamic(dht_dynamic::Error::Transformer(error)) => Self::Transformer(error),
            other => Self::Search(Box::new(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_failures_have_the_codes_of_the_command() {
        let argument = || Error::Argument { flag: "rows", expected: "4".into(), got: "3".into() };
        let of_command = dht_cli::Error::Argument { flag: "device", expected: "cpu".into(), got: "gpu".into() };
        let io = Error::Io { path: "file".into(), source: std::io::Error::other("gone") };
        assert_eq!(exit_code(Ok(())), ExitCode::SUCCESS);
        for error in [argument(), Error::Needs { flag: "a", needs: "b" }, of_command.into()] {
            assert_eq!(exit_code(Err(error)), ExitCode::from(2));
        }
        assert_eq!(exit_code(Err(io)), ExitCode::from(1));
    }
}
