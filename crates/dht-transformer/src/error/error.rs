//! The error type of the crate.

use std::path::PathBuf;

use super::checkpoint::CheckpointProblem;
use super::data::DataProblem;
use super::hub::HubProblem;
use super::weights::WeightsProblem;

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
    /// A tensor or slice has another shape than is required.
    #[error("{what} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// The tensor's name.
        what: String,
        /// The shape that is required.
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
    /// A field of a configuration's file lies outside what it may be.
    #[error("{file}: {field} is {got}, expected {expected}")]
    Config {
        /// The file, or what the text was said to be.
        file: String,
        /// The field's name.
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
    /// A set of heads would be empty, or a layer would have none.
    #[error("no heads, expected at least one")]
    NoHeads,
    /// A layer has more heads than a set can hold.
    #[error("{heads} heads in a layer, expected at most {most}")]
    TooManyHeads {
        /// The layer's heads.
        heads: usize,
        /// The most a layer may have.
        most: usize,
    },
    /// A set names a head that the layer lacks.
    #[error("head {head} of a layer whose heads are 0 to {last}", last = heads.saturating_sub(1))]
    HeadOutOfRange {
        /// The head that was named.
        head: usize,
        /// How many heads the layer has.
        heads: usize,
    },
    /// A set names a head twice.
    #[error("head {head} is named twice, expected each head at most once")]
    DuplicateHead {
        /// The head.
        head: usize,
    },
    /// A plan of head sets per sample does not have one set for each sample of its batch.
    #[error("{got} head sets for {expected} samples, expected one for each")]
    PlanSamples {
        /// The batch's samples.
        expected: usize,
        /// The plan's sets.
        got: usize,
    },
    /// candle refused an operation.
    #[error(transparent)]
    Candle(candle_core::Error),
    /// The device has no memory left for a tensor.
    #[error(
        "the device's memory is full ({0}); it has to hold the parameters, and of a training their gradients, two moments and the \
         states of a batch: fewer texts at once, a shorter length or bf16 need less"
    )]
    DeviceMemory(candle_core::Error),
    /// A loss was NaN or infinite; the last checkpoint is still there. [`Trainer::fit`](crate::Trainer::fit) says which parameters the
    /// model has then.
    #[error("the loss of step {step} is {loss}, expected a finite number: lower the learning rate")]
    Diverged {
        /// The optimiser step, from 0.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// An answer is NaN or infinite, because weights are.
    #[error(
        "the answer of sample {sample} is {got}, expected finite numbers: the model's weights hold NaN or infinity, or overflow"
    )]
    NotFinite {
        /// The sample's number.
        sample: u64,
        /// The first such number.
        got: f32,
    },
    /// A training that ended because it was asked to; its checkpoint, if it has one, is of its last step.
    #[error("the training was stopped after {steps} steps")]
    Stopped {
        /// The optimiser steps before the end.
        steps: u64,
    },
    /// A file is no checkpoint that can be read.
    #[error("checkpoint {path}: {problem}", path = path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: CheckpointProblem,
    },
    /// The gradient was NaN or infinite in too many steps in a row; those steps changed nothing.
    #[error(
        "the gradient was NaN or infinite in {steps} steps in a row, first in parameter {parameter}; expected finite \
         numbers: lower the learning rate or look at the inputs"
    )]
    NonFiniteGradient {
        /// How many steps in a row.
        steps: u32,
        /// The first parameter with such a gradient in the last of them.
        parameter: String,
    },
    /// A data set's file is not what it should be.
    #[error("{path}{at}: {problem}", path = path.display(), at = at_line(*line))]
    Data {
        /// The file.
        path: PathBuf,
        /// The physical line of the (decompressed) file, or the row of a parquet file, counted from 1; `None` when it is about
        /// the whole file.
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
    /// A text has more bytes than are tokenised.
    #[error("a text{at} has {bytes} bytes, expected at most {most}", at = in_row(*row))]
    TextTooLong {
        /// The row of its data set, from 0, if it is of one.
        row: Option<usize>,
        /// How many bytes it has.
        bytes: usize,
        /// [`TextTokenizer::with_max_bytes`](crate::TextTokenizer::with_max_bytes).
        most: usize,
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
    /// A file, class, field or tensor of a model's directory has an effect that this crate does not compute.
    #[error("{path}: {item}{reason}", path = path.display(), item = named(item.as_deref()))]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The class, field or tensor; `None` for the file itself.
        item: Option<String>,
        /// The reason, and what to do.
        reason: String,
    },
    /// A file of a model could not be had from the hub.
    #[error("{name} is no directory, and its {file} could not be fetched from the hub: {source}")]
    Hub {
        /// The name that was taken for one on the hub.
        name: String,
        /// The file of the model.
        file: &'static str,
        /// What the hub's client said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A data set, or a whole directory of a model, could not be had from the hub.
    #[error("{name} on the hub: {problem}")]
    HubFiles {
        /// The repository.
        name: String,
        /// What is wrong.
        problem: HubProblem,
    },
    /// There is no such file or directory, and names on the hub are not looked for.
    #[error("there is no {name} on this disk; to take it for a name on the hub, build with the feature `hub`")]
    NoHub {
        /// The name.
        name: String,
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

fn in_row(row: Option<usize>) -> String {
    row.map(|row| format!(" in row {row}")).unwrap_or_default()
}

fn named(item: Option<&str>) -> String {
    item.map(|item| format!("`{item}`: ")).unwrap_or_default()
}

fn at_tensor(tensor: Option<&str>) -> String {
    tensor.map(|tensor| format!(": tensor {tensor:?}")).unwrap_or_default()
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// [`Error::DeviceMemory`] where the device says that its memory is full, else [`Error::Candle`].
impl From<candle_core::Error> for Error {
    fn from(source: candle_core::Error) -> Self {
        // What CUDA's driver and cuBLAS say; candle has no kind of error for it.
        let text = source.to_string();
        let full = ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED"].iter().any(|code| text.contains(code));
        if full { Self::DeviceMemory(source) } else { Self::Candle(source) }
    }
}

impl Error {
    /// An I/O error with the path it happened at.
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// A setting that lies outside what it may be.
    pub(crate) fn setting(field: &'static str, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Setting { field, expected: expected.into(), got: got.into() }
    }

    /// The same of a file, where it is about a field of it.
    pub(crate) fn in_file(self, file: impl Into<String>) -> Self {
        match self {
            Self::Setting { field, expected, got } => Self::Config { file: file.into(), field, expected, got },
            other => other,
        }
    }

    /// The same of a row of a data set, where it is about a text.
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
