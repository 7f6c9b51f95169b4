//! Error type of this crate.

use dht_transformer::ErrorKind;

/// Errors of this crate. A message names the fault, its place and the expected value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Error of the transformer crate.
    #[error(transparent)]
    Transformer(#[from] dht_transformer::Error),
    /// Error of candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A saved state is not JSON of the expected form.
    #[error("{what}: {source}")]
    Json {
        /// State that was read, or the file of the state.
        what: String,
        /// Message of the JSON parser, with line and column.
        source: serde_json::Error,
    },
    /// An argument or a setting has a value that is not allowed.
    #[error("{name} is {got}, expected {expected}")]
    Argument {
        /// Name of the argument or setting.
        name: &'static str,
        /// Values that are allowed.
        expected: String,
        /// Value that was passed.
        got: String,
    },
    /// A list or matrix has other sizes than required.
    #[error("{what} is {got}, expected {expected}")]
    Shape {
        /// List or matrix with the wrong sizes.
        what: &'static str,
        /// Sizes that are required.
        expected: String,
        /// Sizes that were passed.
        got: String,
    },
    /// No architecture of the search space has the target cost.
    #[error(
        "a target of {target} cannot be reached: with the minimum sizes, costs are {least:.4} to {most:.4} of the whole"
    )]
    Target {
        /// Target cost, as a share of the whole encoder's cost.
        target: f64,
        /// Cost of the smallest architecture, as a share of the whole encoder's cost.
        least: f64,
        /// Cost of the largest architecture, as a share of the whole encoder's cost.
        most: f64,
    },
    /// The data have too few rows to be divided into two halves.
    #[error("{rows} rows, expected at least {least}: one half trains weights, the other gates")]
    TooFewRows {
        /// Number of rows in the data.
        rows: usize,
        /// Number of rows that is required.
        least: usize,
    },
}

/// Result type of this crate.
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
