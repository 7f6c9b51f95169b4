//! The error type of this crate.

use dht_transformer::ErrorKind;

/// The errors of this crate. Messages name the fault, its place and the expected value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of the crate `dht-dynamic`, except those that have a variant here.
    #[error(transparent)]
    Dynamic(Box<dht_dynamic::Error>),
    /// An error of the transformer crate.
    #[error(transparent)]
    Transformer(#[from] dht_transformer::Error),
    /// An error of the bandits crate.
    #[error(transparent)]
    Bandits(#[from] dht_bandits::Error),
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
    /// A part that does not fit the object that it was made for, such as a saved state of another router.
    #[error("{what} is {got}, expected {expected}")]
    State {
        /// The part.
        what: &'static str,
        /// The parts that fit.
        expected: String,
        /// The given part.
        got: String,
    },
    /// An index beyond the end of what it counts.
    #[error("{what} is {got}, expected below {below}")]
    Range {
        /// The name of the index.
        what: &'static str,
        /// The index.
        got: usize,
        /// The number of items.
        below: usize,
    },
    /// A group of layers without layers, or a route without groups.
    #[error("layers {start}..{end}: expected at least one layer")]
    NoLayers {
        /// The first layer.
        start: usize,
        /// The layer after the last.
        end: usize,
    },
    /// A group with a number of heads that is not allowed.
    #[error("group {group} keeps {got} heads, expected {expected}")]
    HeadCount {
        /// The index of the group in its route or space.
        group: usize,
        /// The allowed numbers of heads.
        expected: String,
        /// Its number of heads.
        got: usize,
    },
    /// An exit of a space that is not deeper than the previous exit, or deeper than the last layer.
    #[error("exit {index} is at depth {got}, expected {expected}")]
    Exit {
        /// The index of the exit in the list.
        index: usize,
        /// The allowed depths.
        expected: String,
        /// Its depth.
        got: usize,
    },
    /// A route that is not in a space, or is for a model of another size.
    #[error("route {route}: expected {expected}")]
    RouteNotInSpace {
        /// The route.
        route: String,
        /// The routes of the space.
        expected: String,
    },
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
    /// A file that is intact but contains no dynamic model that this release reads.
    #[error("{path}: its {field} is {got}, expected {expected}", path = path.display())]
    Model {
        /// The file.
        path: std::path::PathBuf,
        /// The field of the file.
        field: &'static str,
        /// The values that this release reads.
        expected: String,
        /// Its value.
        got: String,
    },
    /// A file of a saved model that differs from the file saved together with its checkpoint.
    #[error(
        "{path} is not the file that {checkpoint} was saved with: its SHA-256 checksum is {got}, expected {expected}; \
         restore the file of that save",
        path = path.display(), checkpoint = checkpoint.display(), got = checksum(got.as_deref()), expected = checksum(expected.as_deref()),
    )]
    ModelFile {
        /// The file.
        path: std::path::PathBuf,
        /// The checkpoint that contains the file's checksum.
        checkpoint: std::path::PathBuf,
        /// The checksum of the saved file; `None` where there was none.
        expected: Option<String>,
        /// The checksum of the present file; `None` where there is none.
        got: Option<String>,
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

fn checksum(checksum: Option<&str>) -> &str {
    checksum.unwrap_or("none (no such file)")
}

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns the kind of the error: what a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Dynamic(error) => error.kind(),
            Self::Transformer(error) => error.kind(),
            Self::Argument { .. }
            | Self::NoLayers { .. }
            | Self::HeadCount { .. }
            | Self::Exit { .. }
            | Self::RouteNotInSpace { .. }
            | Self::DuplicateArm { .. }
            | Self::Arm { .. }
            | Self::PresetSize { .. }
            | Self::Loss { .. } => ErrorKind::Argument,
            Self::Shape { .. } => ErrorKind::Shape,
            Self::Range { .. } => ErrorKind::Range,
            Self::State { .. } => ErrorKind::State,
            Self::Json { .. } | Self::SpaceFile { .. } | Self::ModelFile { .. } => ErrorKind::Data,
            Self::Model { .. } => ErrorKind::Unsupported,
            Self::Bandits(_) | Self::Candle(_) => ErrorKind::Custom,
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

    /// Builds [`Error::State`].
    pub(crate) fn state(what: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::State { what, expected: expected.into(), got: got.to_string() }
    }
}

/// The state of an own router that is not JSON of the expected form, as an [`Error::Json`].
impl From<serde_json::Error> for Error {
    fn from(source: serde_json::Error) -> Self {
        Self::Json { what: "state of an own part".to_owned(), source }
    }
}

/// Errors that both crates can report map to one variant here.
impl From<dht_dynamic::Error> for Error {
    fn from(error: dht_dynamic::Error) -> Self {
        use dht_dynamic::Error as Dynamic;
        match error {
            Dynamic::Transformer(error) => Self::Transformer(error),
            Dynamic::Candle(error) => Self::Candle(error),
            Dynamic::Json { what, source } => Self::Json { what, source },
            Dynamic::Argument { name, expected, got } => Self::Argument { name, expected, got },
            Dynamic::Shape { what, expected, got } => Self::Shape { what, expected, got },
            Dynamic::Range { what, got, below } => Self::Range { what, got, below },
            Dynamic::State { what, expected, got } => Self::State { what, expected, got },
            Dynamic::NoLayers { start, end } => Self::NoLayers { start, end },
            Dynamic::HeadCount { group, expected, got } => Self::HeadCount { group, expected, got },
            Dynamic::Exit { index, expected, got } => Self::Exit { index, expected, got },
            Dynamic::RouteNotInSpace { route, expected } => Self::RouteNotInSpace { route, expected },
            Dynamic::Model { path, field, expected, got } => Self::Model { path, field, expected, got },
            Dynamic::ModelFile { path, checkpoint, expected, got } => {
                Self::ModelFile { path, checkpoint, expected, got }
            }
            Dynamic::Custom(error) => match error.downcast::<Self>() {
                Ok(own) => *own,
                Err(other) => Self::Dynamic(Box::new(Dynamic::Custom(other))),
            },
            other => Self::Dynamic(Box::new(other)),
        }
    }
}

/// Converts errors of a search model for callers of a predictor, a router or a served model.
impl From<Error> for dht_dynamic::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Dynamic(error) => *error,
            Error::Transformer(error) => Self::Transformer(error),
            Error::Candle(error) => Self::Candle(error),
            Error::Json { what, source } => Self::Json { what, source },
            Error::Argument { name, expected, got } => Self::Argument { name, expected, got },
            Error::Shape { what, expected, got } => Self::Shape { what, expected, got },
            Error::Range { what, got, below } => Self::Range { what, got, below },
            Error::State { what, expected, got } => Self::State { what, expected, got },
            other => Self::Custom(Box::new(other)),
        }
    }
}
