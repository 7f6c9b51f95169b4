//! The error type of this crate.

use dht_transformer::ErrorKind;

/// The errors of this crate. Messages name the fault, its place and the expected value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of the transformer crate.
    #[error(transparent)]
    Transformer(#[from] dht_transformer::Error),
    /// An error of candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A saved state that is not JSON of the expected form.
    #[error("{what}: {source}")]
    Json {
        /// The state, or its file.
        what: String,
        /// The parser's message, with line and column.
        source: serde_json::Error,
    },
    /// An argument or a setting with a value that is not allowed.
    #[error("{name} is {got}, expected {expected}")]
    Argument {
        /// The name of the argument.
        name: &'static str,
        /// The allowed values.
        expected: String,
        /// Its value.
        got: String,
    },
    /// A list or matrix with other sizes than are required.
    #[error("{what} is {got}, expected {expected}")]
    Shape {
        /// The list or matrix.
        what: &'static str,
        /// The required sizes.
        expected: String,
        /// Its sizes.
        got: String,
    },
    /// A target cost that no architecture of a search space has.
    #[error(
        "a target of {target} cannot be reached: with the minimum sizes, costs are {least:.4} to {most:.4} of the whole"
    )]
    Target {
        /// The target, as a share of the whole encoder's cost.
        target: f64,
        /// The cost share of the smallest architecture.
        least: f64,
        /// The cost share of the largest architecture.
        most: f64,
    },
    /// Rows that cannot be divided into two halves.
    #[error("{rows} rows, expected at least {least}: one half trains weights, the other gates")]
    TooFewRows {
        /// The number of rows.
        rows: usize,
        /// The required number of rows.
        least: usize,
    },
}

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns the kind of the error: what a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Transformer(error) => error.kind(),
            Self::Argument { .. } | Self::Target { .. } | Self::TooFewRows { .. } => ErrorKind::Argument,
            Self::Shape { .. } => ErrorKind::Shape,
            Self::Json { .. } => ErrorKind::Data,
            Self::Candle(_) => ErrorKind::Custom,
        }
    }

    /// Builds [`Error::Argument`].
    pub(crate) fn argument(name: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Argument { name, expected: expected.into(), got: got.to_string() }
    }

    /// Builds [`Error::Shape`].
    pub(crate) fn shape(what: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Shape { what, expected: expected.into(), got: got.to_string() }
    }
}
