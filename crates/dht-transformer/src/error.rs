use std::path::PathBuf;

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
    Candle(#[from] candle_core::Error),
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An I/O error with the path it happened at.
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }
}
