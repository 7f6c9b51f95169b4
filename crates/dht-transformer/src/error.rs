use std::path::PathBuf;

use crate::text::DataProblem;
use crate::weights::WeightsProblem;

/// What can go wrong in this crate: what, where, and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A tensor or slice has another shape than its place requires.
    #[error("{what} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// The tensor's name.
        what: String,
        /// The shape its place requires.
        expected: Vec<usize>,
        /// The shape it has.
        got: Vec<usize>,
    },
    /// A setting lies outside what it may be.
    #[error("{field} is {got}, expected {expected}")]
    Setting {
        /// The setting's name.
        field: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// A parameter name was registered twice or is not known.
    #[error("parameter {name}: {problem}")]
    Parameter {
        /// The parameter's name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// candle refused an operation.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A data set's file is not what it should be.
    #[error("{path}{at}: {problem}", path = path.display(), at = at_line(*line))]
    Data {
        /// The file.
        path: PathBuf,
        /// The physical line of the (decompressed) file, counted from 1; `None` when it is about the whole file.
        line: Option<u64>,
        /// What is wrong there.
        problem: DataProblem,
    },
    /// A tokenizer could not be read, built or used.
    #[error("tokenizer {what}: {source}")]
    Tokenizer {
        /// The file, or what was being done.
        what: String,
        /// What the tokenizer said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A configuration is not JSON, or lacks a field, or has one of another type.
    #[error("{what}: {source}")]
    Json {
        /// The file or text.
        what: String,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// A file of weights is not what it should be.
    #[error("{path}{at}: {problem}", path = path.display(), at = at_tensor(tensor.as_deref()))]
    Weights {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file; `None` when it is about the whole file.
        tensor: Option<String>,
        /// What is wrong with it.
        problem: WeightsProblem,
    },
    /// A directory that is to be replaced holds a file that its successor will not have.
    #[error("{path} is not replaced: it holds {entry}, which would be lost", path = path.display())]
    ForeignDirectory {
        /// The directory.
        path: PathBuf,
        /// The first entry (by name) that does not belong there.
        entry: String,
    },
}

fn at_line(line: Option<u64>) -> String {
    line.map(|line| format!(":{line}")).unwrap_or_default()
}

fn at_tensor(tensor: Option<&str>) -> String {
    tensor.map(|tensor| format!(": tensor {tensor:?}")).unwrap_or_default()
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An I/O error with the path it happened at.
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }
}
