//! Error type of this crate.

use dht_transformer::ErrorKind;

/// Error of this crate. Its message states the problem, its location and the expected value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Error of the transformer crate.
    #[error(transparent)]
    Transformer(#[from] dht_transformer::Error),
    /// Error of candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A saved state is not JSON with the expected structure.
    #[error("{what}: {source}")]
    Json {
        /// Name of the saved state, or of its file.
        what: String,
        /// Message of the JSON parser, with line and column.
        source: serde_json::Error,
    },
    /// An argument or a setting has a value that is not allowed.
    #[error("{name} is {got}, expected {expected}")]
    Argument {
        /// Name of the argument or setting that is invalid.
        name: &'static str,
        /// Values that would be valid.
        expected: String,
        /// Value that was passed.
        got: String,
    },
    /// A list or matrix has a wrong size.
    #[error("{what} is {got}, expected {expected}")]
    Shape {
        /// Name of the list or matrix.
        what: &'static str,
        /// Expected sizes.
        expected: String,
        /// Actual sizes.
        got: String,
    },
    /// The target cost cannot be reached by any architecture of the search space.
    #[error(
        "a target of {target} cannot be reached: with the minimum sizes, costs are {least:.4} to {most:.4} of the whole"
    )]
    Target {
        /// Target cost that was requested, as a share of the whole encoder's cost.
        target: f64,
        /// Cost of the smallest architecture, as a share of the whole encoder's cost.
        least: f64,
        /// Cost of the largest architecture, as a share of the whole encoder's cost.
        most: f64,
    },
    /// The data have too few rows to be divided into two halves, one for training the weights and one for training the
    /// gates.
    #[error("{rows} rows, expected at least {least}: one half trains weights, the other gates")]
    TooFewRows {
        /// Number of rows in the data.
        rows: usize,
        /// Smallest sufficient number of rows.
        least: usize,
    },
}

/// Result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns the category of the error, by which a caller can decide what to do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Transformer(error) => error.kind(),
            Self::Argument { .. } | Self::Target { .. } | Self::TooFewRows { .. } => ErrorKind::Argument,
            Self::Shape { .. } => ErrorKind::Shape,
            Self::Json { .. } => ErrorKind::Data,
            Self::Candle(_) => ErrorKind::Custom,
        }
    }

    pub(crate) fn argument(name: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Argument { name, expected: expected.into(), got: got.to_string() }
    }

    pub(crate) fn shape(what: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Shape { what, expected: expected.into(), got: got.to_string() }
    }
}
