//! Error type of this crate.

use dht_transformer::ErrorKind;

/// Error of a search. The message names the fault, its place and the expected value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Error of the crate `dht-dynamic`: a wrong argument, shape, state or route, or a file that cannot be used.
    #[error(transparent)]
    Dynamic(dht_dynamic::Error),
    /// Error of a bandit, from the crate `dht-bandits`.
    #[error(transparent)]
    Bandits(#[from] dht_bandits::Error),
    /// Search space that has the same arm twice.
    #[error("arm {arm} ({route}) repeats arm {first}")]
    DuplicateArm {
        /// Index of the later arm.
        arm: usize,
        /// Index of the earlier arm.
        first: usize,
        /// Route that both arms define.
        route: String,
    },
    /// Requested arm or list of arms that the search space does not have.
    #[error("{what} is {got}, expected {expected}")]
    Arm {
        /// Kind of arm.
        what: &'static str,
        /// Arms of the search space.
        expected: String,
        /// Requested arm or arms.
        got: String,
    },
    /// Preset search space that is not defined for a model of this size.
    #[error("{preset} on {layers} layers of {heads} heads: expected {expected}")]
    PresetSize {
        /// Name of the preset.
        preset: &'static str,
        /// Number of layers of the model.
        layers: usize,
        /// Number of heads of the model.
        heads: usize,
        /// Sizes for which the preset is defined.
        expected: &'static str,
    },
    /// File that does not describe a search space.
    #[error("{what}{line}: {problem}", line = line.map_or_else(String::new, |line| format!(":{line}")))]
    SpaceFile {
        /// Path of the file, or `TOML text`.
        what: String,
        /// Line number, counted from 1; `None` if it is unknown.
        line: Option<usize>,
        /// Reason: an [`Error`] of the search space, or the parser's message. The parser rejects text that is not TOML,
        /// a missing, unknown or wrongly typed key, and a route without valid notation.
        #[source]
        problem: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Loss value from which no reward can be computed.
    #[error("loss is {loss}, expected a finite number, at least 0")]
    Loss {
        /// Loss.
        loss: f64,
    },
}

/// Result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Classifies the error by how a caller can respond to it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Dynamic(error) => error.kind(),
            Self::DuplicateArm { .. } | Self::Arm { .. } | Self::PresetSize { .. } | Self::Loss { .. } => {
                ErrorKind::Argument
            }
            Self::SpaceFile { .. } => ErrorKind::Data,
            Self::Bandits(_) => ErrorKind::Custom,
        }
    }

    pub(crate) fn argument(name: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Dynamic(dht_dynamic::Error::Argument { name, expected: expected.into(), got: got.to_string() })
    }

    pub(crate) fn shape(what: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Dynamic(dht_dynamic::Error::Shape { what, expected: expected.into(), got: got.to_string() })
    }

    pub(crate) fn state(what: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Dynamic(dht_dynamic::Error::State { what, expected: expected.into(), got: got.to_string() })
    }
}

/// Converts the JSON error of a custom router's state to [`Json`](dht_dynamic::Error::Json).
impl From<serde_json::Error> for Error {
    fn from(source: serde_json::Error) -> Self {
        Self::Dynamic(dht_dynamic::Error::Json { what: "state of a custom router".to_owned(), source })
    }
}

impl From<dht_transformer::Error> for Error {
    fn from(error: dht_transformer::Error) -> Self {
        Self::Dynamic(error.into())
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Dynamic(error.into())
    }
}

/// Converts an error of the crate `dht-dynamic`. If it wraps an error of this crate, that error is returned.
impl From<dht_dynamic::Error> for Error {
    fn from(error: dht_dynamic::Error) -> Self {
        match error {
            dht_dynamic::Error::Custom(error) => match error.downcast::<Self>() {
                Ok(own) => *own,
                Err(other) => Self::Dynamic(dht_dynamic::Error::Custom(other)),
            },
            other => Self::Dynamic(other),
        }
    }
}

/// Wraps an error of this crate for callers that expect errors of `dht-dynamic`.
impl From<Error> for dht_dynamic::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Dynamic(error) => error,
            other => Self::custom(other),
        }
    }
}
