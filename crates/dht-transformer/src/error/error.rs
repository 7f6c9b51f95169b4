//! Error type of the crate.

use std::path::PathBuf;

use super::checkpoint::CheckpointProblem;
use super::data::DataProblem;
use super::hub::HubProblem;
use super::weights::WeightsProblem;

/// Error of this crate: what failed, where, and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Path of the file or directory.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A tensor or slice has another shape than is required.
    #[error("{what} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// Name of the tensor or slice.
        what: String,
        /// Required shape.
        expected: Vec<usize>,
        /// Actual shape.
        got: Vec<usize>,
    },
    /// An argument or a setting has a value that is not allowed.
    #[error("{name} is {got}, expected {expected}")]
    Argument {
        /// Name of the argument.
        name: &'static str,
        /// Allowed values.
        expected: String,
        /// Actual value.
        got: String,
    },
    /// A field of a configuration file is invalid.
    #[error("{file}: {field} is {got}, expected {expected}")]
    Config {
        /// Path of the file, or the name that the caller gave the text.
        file: String,
        /// Name of the field.
        field: &'static str,
        /// Valid values.
        expected: String,
        /// Actual value.
        got: String,
    },
    /// A parameter name was registered twice or is unknown.
    #[error("parameter {name}: {problem}")]
    Parameter {
        /// Parameter name.
        name: String,
        /// Problem of the parameter.
        problem: &'static str,
    },
    /// An index is not below the number of items that it counts.
    #[error("{what} is {got}, expected below {below}")]
    Range {
        /// Kind of item that the index counts, such as `head`.
        what: &'static str,
        /// Value of the index.
        got: usize,
        /// Number of items.
        below: usize,
    },
    /// candle refused an operation.
    #[error(transparent)]
    Candle(candle_core::Error),
    /// The device has not enough memory for a tensor.
    #[error(
        "the device's memory is full ({0}); it must hold the parameters, and in training also their gradients, two \
         moments and the states of a batch: fewer texts at once, a shorter length or bf16 need less"
    )]
    DeviceMemory(candle_core::Error),
    /// A loss was NaN or infinite; the last checkpoint still exists. [`Trainer::fit`](crate::Trainer::fit) documents
    /// the parameters that the model then has.
    #[error("the loss of step {step} is {loss}, expected a finite number: lower the learning rate")]
    Diverged {
        /// Optimiser step, from 0.
        step: u64,
        /// Loss at this step.
        loss: f64,
    },
    /// An output of the model is NaN or infinite, because weights of the model are NaN or infinite.
    #[error(
        "the answer of sample {sample} is {got}, expected finite numbers: the model's weights hold NaN or infinity, or overflow"
    )]
    NotFinite {
        /// Id of the sample.
        sample: u64,
        /// First value that is NaN or infinite.
        got: f32,
    },
    /// A training run was stopped on request. Its checkpoint, if it has one, was written at its last step.
    #[error("the training was stopped after {steps} steps")]
    Stopped {
        /// Number of optimiser steps before the end.
        steps: u64,
    },
    /// A file is not a readable checkpoint.
    #[error("checkpoint {path}: {problem}", path = path.display())]
    Checkpoint {
        /// Path of the checkpoint.
        path: PathBuf,
        /// Problem of the file.
        problem: CheckpointProblem,
    },
    /// The gradient was NaN or infinite in too many consecutive steps; no parameter changed in these steps.
    #[error(
        "the gradient was NaN or infinite in {steps} steps in a row, first in parameter {parameter}; expected finite \
         numbers: lower the learning rate or look at the inputs"
    )]
    NonFiniteGradient {
        /// Number of consecutive steps.
        steps: u32,
        /// First parameter with a NaN or infinite gradient in the last of these steps.
        parameter: String,
    },
    /// A data set's file is invalid.
    #[error("{path}{at}: {problem}", path = path.display(), at = at_line(*line))]
    Data {
        /// Path of the file.
        path: PathBuf,
        /// Physical line of the (decompressed) file, or row of a parquet file, counted from 1; `None` if the problem
        /// concerns the whole file.
        line: Option<u64>,
        /// Problem of the file.
        problem: DataProblem,
    },
    /// A tokenizer could not be read, built or used.
    #[error("tokenizer {what}: {source}")]
    Tokenizer {
        /// Path of the tokenizer file, or name of the failed operation.
        what: String,
        /// Error of the tokenizer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A text exceeds the byte limit of the tokenizer.
    #[error("a text{at} has {bytes} bytes, expected at most {most}", at = in_row(*row))]
    TextTooLong {
        /// Row of the text in its data set, from 0; `None` for a text outside of a data set.
        row: Option<usize>,
        /// Size of the text in bytes.
        bytes: usize,
        /// Limit set by [`TextTokenizer::with_max_bytes`](crate::TextTokenizer::with_max_bytes).
        most: usize,
    },
    /// A configuration is not JSON, or a field is missing or has another type.
    #[error("{what}: {source}")]
    Json {
        /// Path of the file, or name of the text.
        what: String,
        /// Parse error, with line and column.
        source: serde_json::Error,
    },
    /// A file of weights is invalid.
    #[error("{path}{at}: {problem}", path = path.display(), at = at_tensor(tensor.as_deref()))]
    Weights {
        /// Path of the file.
        path: PathBuf,
        /// Tensor name in the file; `None` if the problem concerns the whole file.
        tensor: Option<String>,
        /// Problem of the weights.
        problem: WeightsProblem,
    },
    /// A file, class, field or tensor of a model's directory has an effect that this crate does not compute.
    #[error("{path}: {item}{reason}", path = path.display(), item = named(item.as_deref()))]
    Unsupported {
        /// Path of the file.
        path: PathBuf,
        /// Class, field or tensor; `None` for the file itself.
        item: Option<String>,
        /// Reason, and what to do.
        reason: String,
    },
    /// A name is not a directory, and the model of this name could not be downloaded from the hub.
    #[error("{name} is no directory, and on the hub: {problem}")]
    Hub {
        /// Assumed name on the hub.
        name: String,
        /// Problem of the model's files.
        problem: HubProblem,
    },
    /// A data set or a model could not be downloaded from the hub.
    #[error("{name} on the hub: {problem}")]
    HubFiles {
        /// Name of the data set or model, with the requested revision.
        name: String,
        /// Problem of the files.
        problem: HubProblem,
    },
    /// A file or directory does not exist, and this build does not query the hub.
    #[error("there is no {name} on this disk; to take it for a name on the hub, build with the feature `hub`")]
    NoHub {
        /// Requested path, or requested name on the hub.
        name: String,
    },
    /// The caller's own code failed, such as a custom loss.
    #[error(transparent)]
    Custom(Box<dyn std::error::Error + Send + Sync>),
    /// A directory was not replaced, because it holds a file that the new directory would not have.
    #[error("{path} is not replaced: it holds {entry}, which would be lost", path = path.display())]
    ForeignDirectory {
        /// Path of the directory.
        path: PathBuf,
        /// First entry (by name) that would be lost.
        entry: String,
    },
}

fn at_line(line: Option<u64>) -> String {
    line.map(|line| format!(":{line}")).unwrap_or_default()
}

fn in_row(row: Option<usize>) -> String {
    row.map(|row| format!(" in row {row}")).unwrap_or_default()
}

fn named(item: Option<&str>) -> String {
    item.map(|item| format!("`{item}`: ")).unwrap_or_default()
}

fn at_tensor(tensor: Option<&str>) -> String {
    tensor.map(|tensor| format!(": tensor {tensor:?}")).unwrap_or_default()
}

/// Result type of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Converts candle's errors: [`Error::DeviceMemory`] if the device reports full memory, else [`Error::Candle`].
impl From<candle_core::Error> for Error {
    fn from(source: candle_core::Error) -> Self {
        // Messages of CUDA's driver and cuBLAS; candle has no error variant for it.
        let text = source.to_string();
        let full = ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED"].iter().any(|code| text.contains(code));
        if full { Self::DeviceMemory(source) } else { Self::Candle(source) }
    }
}

impl Error {
    /// Creates an I/O error with its path.
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// Creates an error of an argument or a setting that is not allowed.
    pub(crate) fn argument(name: &'static str, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Argument { name, expected: expected.into(), got: got.into() }
    }

    /// Wraps an error of the caller's own code, such as a custom loss.
    pub fn custom(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Custom(error.into())
    }

    /// Adds a file to an error about a field.
    pub(crate) fn in_file(self, file: impl Into<String>) -> Self {
        match self {
            Self::Argument { name: field, expected, got } => Self::Config { file: file.into(), field, expected, got },
            other => other,
        }
    }

    /// Adds a row of a data set to an error about a text.
    pub(crate) fn in_row(self, row: usize) -> Self {
        match self {
            Self::TextTooLong { bytes, most, .. } => Self::TextTooLong { row: Some(row), bytes, most },
            other => other,
        }
    }
}

pub(crate) fn same_length(what: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(Error::Shape { what: what.into(), expected: vec![expected], got: vec![got] })
}
