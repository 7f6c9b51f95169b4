//! Error type of this crate.

use dht_transformer::ErrorKind;

/// Errors of this crate. Messages name the fault, its place and the expected value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Error of the transformer crate.
    #[error(transparent)]
    Transformer(#[from] dht_transformer::Error),
    /// Error of candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// Saved state that is not JSON of the expected form.
    #[error("{what}: {source}")]
    Json {
        /// State, or its file.
        what: String,
        /// Parser's message, with line and column.
        source: serde_json::Error,
    },
    /// Argument or a setting with a value that is not allowed.
    #[error("{name} is {got}, expected {expected}")]
    Argument {
        /// Name of the argument.
        name: &'static str,
        /// Allowed values.
        expected: String,
        /// Its value.
        got: String,
    },
    /// List or matrix with other sizes than are required.
    #[error("{what} is {got}, expected {expected}")]
    Shape {
        /// List or matrix.
        what: &'static str,
        /// Required sizes.
        expected: String,
        /// Its sizes.
        got: String,
    },
    /// Part that does not fit the object that it was made for, such as a saved state of another router.
    #[error("{what} is {got}, expected {expected}")]
    State {
        /// Part.
        what: &'static str,
        /// Parts that fit.
        expected: String,
        /// Given part.
        got: String,
    },
    /// Index beyond the end of what it counts.
    #[error("{what} is {got}, expected below {below}")]
    Range {
        /// Name of the index.
        what: &'static str,
        /// Index.
        got: usize,
        /// Number of items.
        below: usize,
    },
    /// Request that exceeds a limit, however empty the service is.
    #[error("the request has {got} {what}, expected at most {most}")]
    Limit {
        /// Counted things: texts or tokens.
        what: &'static str,
        /// Their number.
        got: usize,
        /// Limit.
        most: usize,
    },
    /// Risk bound that the calibration texts cannot prove.
    #[error("at most {most} cannot be shown from {rows} texts: expected {}", reach(*needed, *least))]
    Promise {
        /// Limit.
        most: f64,
        /// Calibration texts.
        rows: usize,
        /// Number of texts with the same losses that would prove it; `None` where their risk is not below the
        /// limit.
        needed: Option<usize>,
        /// Smallest limit that these texts prove.
        least: f64,
    },
    /// Accuracy of answers that the held-out texts support at no least probability.
    #[error(
        "an accuracy of {accuracy} of the answers cannot be shown from {rows} texts at any probability: they show at most \
         {most:.4}; expected a lower accuracy, or more texts ({needed} or more sure ones, if all of their answers are right)"
    )]
    Accuracy {
        /// Accuracy.
        accuracy: f64,
        /// Held-out texts.
        rows: usize,
        /// Highest accuracy that they show at one of the probabilities at which the tests start.
        most: f64,
        /// Least number of answers that would show the accuracy, if all are right.
        needed: usize,
    },
    /// Texts that a model was fitted on, where unseen texts are required.
    #[error(
        "{rows} of {of} {what}, the first in row {first}, are texts that the model was fitted on: expected texts that neither it nor a \
         choice has seen"
    )]
    SeenTexts {
        /// Purpose of the texts.
        what: &'static str,
        /// Number of texts that the model has seen.
        rows: usize,
        /// Index of the first seen text.
        first: usize,
        /// Number of texts.
        of: usize,
    },
    /// Text that is not a route such as `12L8H` or `7L9H+2L12H`.
    #[error("route {text:?}, byte {at}: expected {expected}")]
    Notation {
        /// Text; for a long one, its beginning.
        text: String,
        /// Offset in bytes of the first error.
        at: usize,
        /// Expected input at this offset.
        expected: &'static str,
    },
    /// Group of layers without layers, or a route without groups.
    #[error("layers {start}..{end}: expected at least one layer")]
    NoLayers {
        /// First layer.
        start: usize,
        /// Layer after the last.
        end: usize,
    },
    /// Groups of layers that are not consecutive.
    #[error("group {group} starts at layer {got}, expected {expected}")]
    GroupOrder {
        /// Index of the group in its route.
        group: usize,
        /// Allowed first layers.
        expected: String,
        /// Its first layer.
        got: usize,
    },
    /// Group of layers that ends at a depth that is not allowed.
    #[error("group {group} ends after layer {got}, expected {expected}")]
    GroupEnd {
        /// Index of the group in its route.
        group: usize,
        /// Allowed ends.
        expected: String,
        /// Its end.
        got: usize,
    },
    /// Group with a number of heads that is not allowed.
    #[error("group {group} keeps {got} heads, expected {expected}")]
    HeadCount {
        /// Index of the group in its route or space.
        group: usize,
        /// Allowed numbers of heads.
        expected: String,
        /// Its number of heads.
        got: usize,
    },
    /// Exit of a space that is not deeper than the previous exit, or deeper than the last layer.
    #[error("exit {index} is at depth {got}, expected {expected}")]
    Exit {
        /// Index of the exit in the list.
        index: usize,
        /// Allowed depths.
        expected: String,
        /// Its depth.
        got: usize,
    },
    /// Route that is not in a space, or is for a model of another size.
    #[error("route {route}: expected {expected}")]
    RouteNotInSpace {
        /// Route.
        route: String,
        /// Routes of the space.
        expected: String,
    },
    /// File that is intact but contains no dynamic model that this release reads.
    #[error("{path}: its {field} is {got}, expected {expected}", path = path.display())]
    Model {
        /// File.
        path: std::path::PathBuf,
        /// Field of the file.
        field: &'static str,
        /// Values that this release reads.
        expected: String,
        /// Its value.
        got: String,
    },
    /// Directory without a saved model.
    #[error("{path} has no dht.json: {instead}", path = path.display())]
    NotAModel {
        /// Directory.
        path: std::path::PathBuf,
        /// Contents of the directory, or the directory to name.
        instead: &'static str,
    },
    /// File of a saved model that differs from the file saved together with its checkpoint.
    #[error(
        "{path} is not the file that {checkpoint} was saved with: its SHA-256 checksum is {got}, expected {expected}; \
         restore the file of that save",
        path = path.display(), checkpoint = checkpoint.display(), got = checksum(got.as_deref()), expected = checksum(expected.as_deref()),
    )]
    ModelFile {
        /// File.
        path: std::path::PathBuf,
        /// Checkpoint that contains the file's checksum.
        checkpoint: std::path::PathBuf,
        /// Checksum of the saved file; `None` where there was none.
        expected: Option<String>,
        /// Checksum of the present file; `None` where there is none.
        got: Option<String>,
    },
    /// Budget that no speed reaches.
    #[error("a FLOPs ratio of {target} cannot be reached: this model's range is {least} to {most} on these texts")]
    Budget {
        /// Budget, as a share of the full model's FLOPs.
        target: f64,
        /// Model's share at the highest speed.
        least: f64,
        /// Model's share at speed 0.
        most: f64,
    },
    /// Request that a full queue rejects.
    #[error("{waiting} wait already, of at most {of}: try again later")]
    Busy {
        /// Waiting requests.
        waiting: String,
        /// Limit.
        of: usize,
    },
    /// Request whose deadline would pass while the requests before it are answered.
    #[error("what waits takes about {expected:.1?}, and the deadline is in {left:.1?}: try again later")]
    Backlog {
        /// Estimated time for the waiting requests.
        expected: std::time::Duration,
        /// Time to the deadline.
        left: std::time::Duration,
    },
    /// Request that was not answered before its deadline.
    #[error("the deadline passed before the answer")]
    Deadline,
    /// Request to a service that stops.
    #[error("the service stops and takes no more requests")]
    Stopping,
    /// Text that would be truncated, where truncation is not allowed.
    #[error("text {text} has more than the {most} tokens that the model reads: shorten it, or let it be truncated")]
    TooLong {
        /// Its index in its request.
        text: usize,
        /// Maximum number of tokens, special ones included.
        most: usize,
    },
    /// Computation that panicked; the service continues.
    #[error("the computation panicked: {message}")]
    Panic {
        /// Panic's message.
        message: String,
    },
    /// Error of a component outside this crate, such as a custom router or predictor.
    #[error(transparent)]
    Custom(Box<dyn std::error::Error + Send + Sync>),
}

/// Result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn checksum(checksum: Option<&str>) -> &str {
    checksum.unwrap_or("none (no such file)")
}

/// Description of the bounds that more texts, or these texts, can prove.
fn reach(needed: Option<usize>, least: f64) -> String {
    let texts = needed.map_or(String::new(), |needed| format!("some {needed} texts, or "));
    format!("{texts}a limit of at least {least:.4}")
}

impl Error {
    /// Returns the kind of the error: what a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Transformer(error) => error.kind(),
            Self::Argument { .. }
            | Self::Promise { .. }
            | Self::Accuracy { .. }
            | Self::SeenTexts { .. }
            | Self::Budget { .. } => ErrorKind::Argument,
            Self::Notation { .. }
            | Self::NoLayers { .. }
            | Self::GroupOrder { .. }
            | Self::GroupEnd { .. }
            | Self::HeadCount { .. }
            | Self::Exit { .. }
            | Self::RouteNotInSpace { .. } => ErrorKind::Argument,
            Self::Shape { .. } => ErrorKind::Shape,
            Self::Range { .. } => ErrorKind::Range,
            Self::State { .. } | Self::Stopping => ErrorKind::State,
            Self::Json { .. } | Self::NotAModel { .. } | Self::ModelFile { .. } => ErrorKind::Data,
            Self::Model { .. } => ErrorKind::Unsupported,
            Self::Limit { .. } | Self::TooLong { .. } | Self::Busy { .. } | Self::Backlog { .. } | Self::Deadline => {
                ErrorKind::Limit
            }
            Self::Candle(_) | Self::Panic { .. } | Self::Custom(_) => ErrorKind::Custom,
        }
    }

    /// Returns whether the same request may succeed later: the service is busy now. Other errors stay.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Backlog { .. })
    }

    /// Wraps the error of a part of the caller's own, such as a router or an exit.
    pub fn custom(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Custom(error.into())
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
