//! Error and result types of this crate.

use dht_transformer::ErrorKind;

/// Error of this crate. Messages name the fault, its place and the expected value.
///
/// # Examples
/// ```
/// use dht_dynamic::route::RouteSpec;
///
/// let error = "12X".parse::<RouteSpec>().unwrap_err();
/// assert_eq!(error.to_string(), "route \"12X\", byte 2: expected L after the number of layers");
/// assert!(!error.is_retryable());
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Error of the transformer crate.
    #[error(transparent)]
    Transformer(#[from] dht_transformer::Error),
    /// Error of candle, the tensor library.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// Saved state whose JSON cannot be parsed or does not have the expected fields.
    #[error("{what}: {source}")]
    Json {
        /// Name of the saved state that cannot be parsed, or the path of its file.
        what: String,
        /// Error of the JSON parser, with line and column.
        source: serde_json::Error,
    },
    /// Argument or setting whose value is not allowed.
    #[error("{name} is {got}, expected {expected}")]
    Argument {
        /// Name of the rejected argument or setting.
        name: &'static str,
        /// Description of the allowed values.
        expected: String,
        /// Rejected value, as text.
        got: String,
    },
    /// List, matrix or tensor of the wrong size.
    #[error("{what} is {got}, expected {expected}")]
    Shape {
        /// Name of the list, matrix or tensor.
        what: &'static str,
        /// Required size.
        expected: String,
        /// Size that was passed.
        got: String,
    },
    /// Saved state that does not match the object that it is restored into, such as the state of another router.
    #[error("{what} is {got}, expected {expected}")]
    State {
        /// Name of the state that was rejected.
        what: &'static str,
        /// Description of the states that the object accepts.
        expected: String,
        /// Description of the rejected state.
        got: String,
    },
    /// Index out of range.
    #[error("{what} is {got}, expected below {below}")]
    Range {
        /// Name of the kind of index, such as a class or a layer.
        what: &'static str,
        /// Index that is out of range.
        got: usize,
        /// Number of items. Valid indices are smaller.
        below: usize,
    },
    /// Request that is larger than the limits of the service, and would be rejected even if no other requests waited.
    #[error("the request has {got} {what}, expected at most {most}")]
    Limit {
        /// Unit of the limit: texts or tokens.
        what: &'static str,
        /// Number of texts or tokens in the request.
        got: usize,
        /// Largest number that the service accepts.
        most: usize,
    },
    /// Failed calibration: the calibration texts are too few, or too often wrong, to prove the requested limit. The
    /// limit is on the loss of accuracy, or on the disagreement with the full model.
    #[error("at most {most} cannot be shown from {rows} texts: expected {}", reach(*needed, *least))]
    Promise {
        /// Requested upper limit on the accuracy loss, or on the disagreement with the full model.
        most: f64,
        /// Number of calibration texts.
        rows: usize,
        /// Number of calibration texts that would prove the requested limit, if further texts have losses like the
        /// present ones. `None` if the observed loss is above the limit or too close to it.
        needed: Option<usize>,
        /// Smallest upper limit that the present calibration texts prove.
        least: f64,
    },
    /// Required accuracy that the held-out texts do not prove, even if the model abstains on texts with a low
    /// probability.
    #[error(
        "an accuracy of {accuracy} of the answers cannot be shown from {rows} texts at any probability: they show at most \
         {most:.4}; expected a lower accuracy, or more texts ({needed} or more sure ones, if all of their answers are right)"
    )]
    Accuracy {
        /// Required accuracy of the predictions.
        accuracy: f64,
        /// Number of held-out texts.
        rows: usize,
        /// Highest accuracy that the held-out texts prove, over several minimum probabilities below which the model
        /// abstains.
        most: f64,
        /// Smallest number of correct predictions, without a wrong one, that would prove the required accuracy.
        needed: usize,
    },
    /// Data set that must have only unseen texts, and contains texts that the model was fitted on.
    #[error(
        "{rows} of {of} {what}, the first in row {first}, are texts that the model was fitted on: expected texts \
         that were used neither to fit it nor to select its settings"
    )]
    SeenTexts {
        /// Purpose of the data set, such as "calibration texts".
        what: &'static str,
        /// Number of texts that the model has seen.
        rows: usize,
        /// Row of the first text that the model has seen.
        first: usize,
        /// Number of texts in the data set.
        of: usize,
    },
    /// Text that is not a valid notation of a route (layers and heads that run), such as `12L8H` or `7L9H+2L12H`.
    #[error("route {text:?}, byte {at}: expected {expected}")]
    Notation {
        /// Text that was parsed; only the beginning of a long text.
        text: String,
        /// Byte offset of the syntax error in the text.
        at: usize,
        /// Description of the input that is expected at this offset.
        expected: &'static str,
    },
    /// Empty range of layers, or a route (layers and heads to run) without any layers.
    #[error("layers {start}..{end}: expected at least one layer")]
    NoLayers {
        /// First layer of the empty range.
        start: usize,
        /// End of the empty range, exclusive.
        end: usize,
    },
    /// Group of layers that does not start where the route's previous group ends.
    #[error("group {group} starts at layer {got}, expected {expected}")]
    GroupOrder {
        /// Index of the group in its route.
        group: usize,
        /// Allowed indices of the group's first layer.
        expected: String,
        /// Index of the group's first layer.
        got: usize,
    },
    /// Group of layers that ends after a layer at which it may not end.
    #[error("group {group} ends after layer {got}, expected {expected}")]
    GroupEnd {
        /// Index of the group in its route.
        group: usize,
        /// Description of the allowed ends, as numbers of layers from the input.
        expected: String,
        /// Number of layers from the input up to the end of the group.
        got: usize,
    },
    /// Group of layers with a number of attention heads that is not allowed.
    #[error("group {group} keeps {got} heads, expected {expected}")]
    HeadCount {
        /// Index of the group in its route or search space.
        group: usize,
        /// Allowed numbers of attention heads.
        expected: String,
        /// Number of attention heads that the group keeps.
        got: usize,
    },
    /// Early exit that is not deeper than the exit before it, or that is deeper than the last layer at which an exit is
    /// allowed.
    #[error("exit {index} is at depth {got}, expected {expected}")]
    Exit {
        /// Index of the exit in the list of exits.
        index: usize,
        /// Depths at which this exit may be.
        expected: String,
        /// Depth of the exit.
        got: usize,
    },
    /// Route (layers and heads that run) that is not in the search space, or that is for a model of another size.
    #[error("route {route}: expected {expected}")]
    RouteNotInSpace {
        /// Notation of the route.
        route: String,
        /// Description of the allowed routes.
        expected: String,
    },
    /// Intact file that this release cannot read, for example a model of another format version.
    #[error("{path}: its {field} is {got}, expected {expected}", path = path.display())]
    Model {
        /// Path of the file.
        path: std::path::PathBuf,
        /// Field of the file that has an unexpected value.
        field: &'static str,
        /// Values that this release reads.
        expected: String,
        /// Value of the field.
        got: String,
    },
    /// Directory without a saved model.
    #[error("{path} has no dht.json: {instead}", path = path.display())]
    NotAModel {
        /// Path of the directory.
        path: std::path::PathBuf,
        /// Hint for the user: the contents of the directory, or the directory to pass instead.
        instead: &'static str,
    },
    /// File of a saved model that was changed or replaced after the model was saved.
    #[error(
        "{path} is not the file that {checkpoint} was saved with: its SHA-256 checksum is {got}, expected {expected}; \
         restore the file of that save",
        path = path.display(), checkpoint = checkpoint.display(), got = checksum(got.as_deref()), expected = checksum(expected.as_deref()),
    )]
    ModelFile {
        /// Path of the file.
        path: std::path::PathBuf,
        /// Path of the checkpoint that contains the file's checksum.
        checkpoint: std::path::PathBuf,
        /// Checksum of the file when the model was saved; `None` if there was no such file.
        expected: Option<String>,
        /// Checksum of the file now; `None` if the file is missing.
        got: Option<String>,
    },
    /// Budget of FLOPs that the model cannot reach at any speed (exit threshold).
    #[error("a FLOPs ratio of {target} cannot be reached: this model's range is {least} to {most} on these texts")]
    Budget {
        /// Requested budget, as a share of the full model's FLOPs.
        target: f64,
        /// Lowest cost of the model, at its highest speed (exit threshold), as a share of the full model's FLOPs.
        least: f64,
        /// Highest cost of the model, at speed 0, where every text runs all layers. Also a share of the full model's
        /// FLOPs.
        most: f64,
    },
    /// Request that is rejected because the queue of the service is full.
    #[error("the queue is full: {waiting} wait, and at most {of} may wait; try again later")]
    Busy {
        /// Number and unit of queued items, such as `4096 texts`.
        waiting: String,
        /// Maximum number of texts or tokens in the queue.
        of: usize,
    },
    /// Request that is rejected because its deadline would pass while earlier requests are processed.
    #[error("the requests that wait take about {expected:.1?}, and the deadline is in {left:.1?}: try again later")]
    Backlog {
        /// Estimated time until the requests in the queue are answered.
        expected: std::time::Duration,
        /// Time left before the deadline.
        left: std::time::Duration,
    },
    /// Request that was not answered before its deadline.
    #[error("the deadline passed before the answer")]
    Deadline,
    /// Request that is rejected because the service is shutting down.
    #[error("the service stops and takes no more requests")]
    Stopping,
    /// Text that exceeds the model's maximum length, in a request that forbids truncation.
    #[error("text {text} has more than the {most} tokens that the model reads: shorten it, or let it be truncated")]
    TooLong {
        /// Index of the text in its request.
        text: usize,
        /// Maximum number of tokens of a text, including special tokens.
        most: usize,
    },
    /// Panic while a prediction was computed. The service continues.
    #[error("the computation panicked: {message}")]
    Panic {
        /// Message of the panic.
        message: String,
    },
    /// Error of a component outside this crate, such as a custom router, exit or predictor.
    #[error(transparent)]
    Custom(Box<dyn std::error::Error + Send + Sync>),
}

/// Result of a function of this crate, with [`Error`] by default.
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn checksum(checksum: Option<&str>) -> &str {
    checksum.unwrap_or("none (no such file)")
}

/// Formats the end of an error message: the number of texts that would prove a limit, and the smallest limit that the
/// present texts prove.
fn reach(needed: Option<usize>, least: f64) -> String {
    let texts = needed.map_or(String::new(), |needed| format!("some {needed} texts, or "));
    format!("{texts}a limit of at least {least:.4}")
}

impl Error {
    /// Returns the kind of the error, by which a caller can decide what to do.
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

    /// Returns whether the same request may succeed later, because the service is only busy at the moment.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Backlog { .. })
    }

    /// Wraps an error of a custom component of the caller, such as a router or an exit.
    pub fn custom(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Custom(error.into())
    }

    pub(crate) fn argument(name: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Argument { name, expected: expected.into(), got: got.to_string() }
    }

    pub(crate) fn shape(what: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Shape { what, expected: expected.into(), got: got.to_string() }
    }

    pub(crate) fn state(what: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::State { what, expected: expected.into(), got: got.to_string() }
    }
}
