//! Error type of the crate.

use std::path::PathBuf;

use super::checkpoint::CheckpointProblem;
use super::data::DataProblem;
use super::hub::HubProblem;
use super::weights::WeightsProblem;

/// Error of this crate. The message states what failed, where, and what was expected.
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
    /// A tensor or slice does not have the required shape.
    #[error("{what} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// Name of the tensor or slice.
        what: String,
        /// Required shape.
        expected: Vec<usize>,
        /// Actual shape.
        got: Vec<usize>,
    },
    /// An argument or a setting has an invalid value.
    #[error("{name} is {got}, expected {expected}")]
    Argument {
        /// Name of the argument or setting.
        name: &'static str,
        /// Allowed values.
        expected: String,
        /// Actual value.
        got: String,
    },
    /// A field of a configuration file is invalid.
    #[error("{file}: {field} is {got}, expected {expected}")]
    Config {
        /// Path of the file, or the caller's name for a text that is not in a file.
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
        /// Description of the problem, such as "is missing".
        problem: &'static str,
    },
    /// An index is too large for the number of items.
    #[error("{what} is {got}, expected below {below}")]
    Range {
        /// Kind of item, such as `head`.
        what: &'static str,
        /// Refused index.
        got: usize,
        /// Number of items; the index must be below it.
        below: usize,
    },
    /// Candle failed to execute a tensor operation.
    #[error(transparent)]
    Candle(candle_core::Error),
    /// The device does not have enough free memory for a tensor.
    #[error(
        "the device's memory is full ({0}); it must hold the parameters, and in training also their gradients, two \
         moments and the states of a batch: fewer texts at once, a shorter length or bf16 need less"
    )]
    DeviceMemory(candle_core::Error),
    /// Training diverged: a loss was NaN or infinite. The last checkpoint still exists.
    /// [`Trainer::fit`](crate::Trainer::fit) documents which parameters the model then has.
    #[error("the loss of step {step} is {loss}, expected a finite number: lower the learning rate")]
    Diverged {
        /// Number of the optimiser step, counted from 0.
        step: u64,
        /// Loss at this step.
        loss: f64,
    },
    /// An output of the model is NaN or infinite, because the weights contain such values or a computation overflows.
    #[error(
        "the answer of sample {sample} is {got}, expected finite numbers: the model's weights hold NaN or infinity, or overflow"
    )]
    NotFinite {
        /// Id of the sample with this output.
        sample: u64,
        /// First output value that is NaN or infinite.
        got: f32,
    },
    /// A training run was stopped on request. If the run writes checkpoints, the last checkpoint is from its last step.
    #[error("the training was stopped after {steps} steps")]
    Stopped {
        /// Number of optimiser steps that were completed.
        steps: u64,
    },
    /// A file cannot be used as a checkpoint of a training run.
    #[error("checkpoint {path}: {problem}", path = path.display())]
    Checkpoint {
        /// Path of the checkpoint.
        path: PathBuf,
        /// Reason why the file cannot be used.
        problem: CheckpointProblem,
    },
    /// The gradient was NaN or infinite in too many consecutive optimiser steps. These steps did not change any
    /// parameter.
    #[error(
        "the gradient was NaN or infinite in {steps} steps in a row, first in parameter {parameter}; expected finite \
         numbers: lower the learning rate or look at the inputs"
    )]
    NonFiniteGradient {
        /// Number of consecutive steps.
        steps: u32,
        /// First parameter with a NaN or infinite gradient, in the last of the failed steps.
        parameter: String,
    },
    /// The file of a data set is invalid.
    #[error("{path}{at}: {problem}", path = path.display(), at = at_line(*line))]
    Data {
        /// Path of the file.
        path: PathBuf,
        /// Line number in the decompressed file, or row number in a parquet file, counted from 1. `None` if the problem
        /// concerns the whole file.
        line: Option<u64>,
        /// Problem in the file.
        problem: DataProblem,
    },
    /// A tokenizer could not be read, built or used.
    #[error("tokenizer {what}: {source}")]
    Tokenizer {
        /// Path of the tokenizer file, or name of the failed operation.
        what: String,
        /// Underlying error, in most cases of the `tokenizers` crate.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A text is longer than the tokenizer's maximum number of bytes.
    #[error("a text{at} has {bytes} bytes, expected at most {most}", at = in_row(*row))]
    TextTooLong {
        /// Row number of the text in its data set, from 0; `None` for a single text.
        row: Option<usize>,
        /// Size of the text in bytes.
        bytes: usize,
        /// Maximum size in bytes, set by [`TextTokenizer::with_max_bytes`](crate::TextTokenizer::with_max_bytes).
        most: usize,
    },
    /// A JSON text is invalid, lacks a field, or has a field of another type.
    #[error("{what}: {source}")]
    Json {
        /// Path of the file, or the caller's name for a text that is not in a file.
        what: String,
        /// Error of the JSON parser, with line and column.
        source: serde_json::Error,
    },
    /// A weight file of a model is invalid.
    #[error("{path}{at}: {problem}", path = path.display(), at = at_tensor(tensor.as_deref()))]
    Weights {
        /// Path of the file.
        path: PathBuf,
        /// Tensor name in the file; `None` if the problem concerns the whole file.
        tensor: Option<String>,
        /// Problem in the weight file.
        problem: WeightsProblem,
    },
    /// A model directory contains a file, class, field or tensor whose effect this crate does not compute.
    #[error("{path}: {item}{reason}", path = path.display(), item = named(item.as_deref()))]
    Unsupported {
        /// Path of the file.
        path: PathBuf,
        /// Name of the unsupported class, field or tensor; `None` if the file itself is unsupported.
        item: Option<String>,
        /// Reason for the refusal, and how to proceed.
        reason: String,
    },
    /// A name is not a local directory, and no model of this name could be downloaded from the Hugging Face hub.
    #[error("{name} is no directory, and on the hub: {problem}")]
    Hub {
        /// Name that was looked up on the hub.
        name: String,
        /// Reason why the download failed.
        problem: HubProblem,
    },
    /// A data set or model could not be downloaded from the Hugging Face hub.
    #[error("{name} on the hub: {problem}")]
    HubFiles {
        /// Name on the hub, with the revision if one was requested.
        name: String,
        /// Reason why the download failed.
        problem: HubProblem,
    },
    /// A local file or directory does not exist, and this build cannot download it from the hub.
    #[error("there is no {name} on this disk; to take it for a name on the hub, build with the feature `hub`")]
    NoHub {
        /// Requested path or hub name.
        name: String,
    },
    /// Code of the caller failed, such as a custom loss.
    #[error(transparent)]
    Custom(Box<dyn std::error::Error + Send + Sync>),
    /// A directory was not replaced, because an unrelated file in it would be lost.
    #[error("{path} is not replaced: it holds {entry}, which would be lost", path = path.display())]
    ForeignDirectory {
        /// Path of the directory.
        path: PathBuf,
        /// First entry, by name, that would be lost.
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

/// `Result` with this crate's [`Error`] as the default error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Converts candle's errors: to [`Error::DeviceMemory`] if the device is out of memory, otherwise to [`Error::Candle`].
impl From<candle_core::Error> for Error {
    fn from(source: candle_core::Error) -> Self {
        // Messages of CUDA's driver and cuBLAS; candle has no error variant for it.
        let text = source.to_string();
        let full = ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED"].iter().any(|code| text.contains(code));
        if full { Self::DeviceMemory(source) } else { Self::Candle(source) }
    }
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    pub(crate) fn argument(name: &'static str, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Argument { name, expected: expected.into(), got: got.into() }
    }

    /// Wraps an error in the caller's own code, such as a custom loss.
    pub fn custom(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Custom(error.into())
    }

    /// Converts an [`Error::Argument`] about a field to an [`Error::Config`], which also names the file.
    pub(crate) fn in_file(self, file: impl Into<String>) -> Self {
        match self {
            Self::Argument { name: field, expected, got } => Self::Config { file: file.into(), field, expected, got },
            other => other,
        }
    }

    /// Adds the row number of the text to an [`Error::TextTooLong`].
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
