//! The error type of this crate.

use dht_transformer::ErrorKind;

/// The errors of this crate. Messages name the fault, its place and the expected value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of the crate `dht-dynamic`: of arguments, shapes, states, routes and files.
    #[error(transparent)]
    Dynamic(dht_dynamic::Error),
    /// An error of the bandits crate.
    #[error(transparent)]
    Bandits(#[from] dht_bandits::Error),
    /// A space that has the same arm twice.
    #[error("arm {arm} ({route}) repeats arm {first}")]
    DuplicateArm {
        /// The index of the later arm.
        arm: usize,
        /// The index of the earlier arm.
        first: usize,
        /// The route of both arms.
        route: String,
    },
    /// An arm, or a list of arms, that a space does not have.
    #[error("{what} is {got}, expected {expected}")]
    Arm {
        /// The kind of arm.
        what: &'static str,
        /// The arms of the space.
        expected: String,
        /// The requested arm or arms.
        got: String,
    },
    /// A preset that is not defined for a model of this size.
    #[error("{preset} on {layers} layers of {heads} heads: expected {expected}")]
    PresetSize {
        /// The preset.
        preset: &'static str,
        /// The number of layers of the model.
        layers: usize,
        /// The number of heads of the model.
        heads: usize,
        /// The sizes for which the preset is defined.
        expected: &'static str,
    },
    /// A file that does not describe a search space.
    #[error("{what}{line}: {problem}", line = line.map_or_else(String::new, |line| format!(":{line}")))]
    SpaceFile {
        /// The file, or `TOML text`.
        what: String,
        /// The line, counted from 1, where it is known.
        line: Option<usize>,
        /// The reason: an [`Error`] of the space, or the parser's message on a file that is not TOML, has a missing,
        /// unknown or wrongly typed key, or a route without valid notation.
        #[source]
        problem: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A loss from which no reward can be computed.
    #[error("loss is {loss}, expected a finite number, at least 0")]
    Loss {
        /// The loss.
        loss: f64,
    },
}

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns the kind of the error: what a caller can do about it.
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

    /// Builds [`Argument`](dht_dynamic::Error::Argument).
    pub(crate) fn argument(name: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Dynamic(dht_dynamic::Error::Argument { name, expected: expected.into(), got: got.to_string() })
    }

    /// Builds [`Shape`](dht_dynamic::Error::Shape).
    pub(crate) fn shape(what: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Dynamic(dht_dynamic::Error::Shape { what, expected: expected.into(), got: got.to_string() })
    }

    /// Builds [`State`](dht_dynamic::Error::State).
    pub(crate) fn state(what: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Dynamic(dht_dynamic::Error::State { what, expected: expected.into(), got: got.to_string() })
    }
}

/// The state of an own router that is not JSON of the expected form, as [`Json`](dht_dynamic::Error::Json).
impl From<serde_json::Error> for Error {
    fn from(source: serde_json::Error) -> Self {
        Self::Dynamic(dht_dynamic::Error::Json { what: "state of an own part".to_owned(), source })
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

/// An error of this crate that came back from a predictor, a router or a served model is itself again.
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

/// Errors for callers of a predictor, a router or a served model.
impl From<Error> for dht_dynamic::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Dynamic(error) => error,
            other => Self::custom(other),
        }
    }
}
