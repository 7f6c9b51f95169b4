//! Error and result types of this crate.

use dht_transformer::ErrorKind;

/// Error of a function of this crate. Messages name the fault, its place and the expected value.
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
    /// Error of candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// Saved state whose JSON cannot be parsed or does not have the expected form.
    #[error("{what}: {source}")]
    Json {
        /// Name of the state, or the path of its file.
        what: String,
        /// Error of the JSON parser, with line and column.
        source: serde_json::Error,
    },
    /// Argument or setting whose value is not allowed.
    #[error("{name} is {got}, expected {expected}")]
    Argument {
        /// Name of the argument.
        name: &'static str,
        /// Values that the argument may have.
        expected: String,
        /// Value of the argument.
        got: String,
    },
    /// List or matrix whose size is not the required one.
    #[error("{what} is {got}, expected {expected}")]
    Shape {
        /// Name of the list or matrix.
        what: &'static str,
        /// Required size.
        expected: String,
        /// Size of the list or matrix.
        got: String,
    },
    /// State that does not fit its object, such as the saved state of another router.
    #[error("{what} is {got}, expected {expected}")]
    State {
        /// Name of the state.
        what: &'static str,
        /// States that fit the object.
        expected: String,
        /// State that was passed.
        got: String,
    },
    /// Index that is not below the number of items.
    #[error("{what} is {got}, expected below {below}")]
    Range {
        /// Name of the index.
        what: &'static str,
        /// Value of the index.
        got: usize,
        /// Number of items that the index counts.
        below: usize,
    },
    /// Request that exceeds a limit of the service and would be rejected even without other requests.
    #[error("the request has {got} {what}, expected at most {most}")]
    Limit {
        /// Unit of the limit: texts or tokens.
        what: &'static str,
        /// Number of texts or tokens in the request.
        got: usize,
        /// Largest number that the service accepts.
        most: usize,
    },
    /// Risk limit that the calibration texts cannot prove.
    #[error("at most {most} cannot be shown from {rows} texts: expected {}", reach(*needed, *least))]
    Promise {
        /// Limit of the risk.
        most: f64,
        /// Number of calibration texts.
        rows: usize,
        /// Number of texts that would prove the limit if their losses had the same distribution. `None` if the risk of
        /// the calibration texts exceeds the limit, or is too close to the limit.
        needed: Option<usize>,
        /// Smallest limit that the calibration texts prove.
        least: f64,
    },
    /// Accuracy of answers that the held-out texts do not prove, whichever answers are withheld for a low probability.
    #[error(
        "an accuracy of {accuracy} of the answers cannot be shown from {rows} texts at any probability: they show at most \
         {most:.4}; expected a lower accuracy, or more texts ({needed} or more sure ones, if all of their answers are right)"
    )]
    Accuracy {
        /// Required accuracy.
        accuracy: f64,
        /// Number of held-out texts.
        rows: usize,
        /// Highest accuracy that the held-out texts prove at one of the threshold probabilities at which the sequences
        /// of tests start.
        most: f64,
        /// Smallest number of answers that would prove the required accuracy, if all of these answers are right.
        needed: usize,
    },
    /// Data set with texts that the model was fitted on, although unseen texts are required.
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
    /// Text that is not a valid notation of a route, such as `12L8H` or `7L9H+2L12H`.
    #[error("route {text:?}, byte {at}: expected {expected}")]
    Notation {
        /// Text that was parsed; of a long text, only the beginning.
        text: String,
        /// Byte offset of the first error in the text.
        at: usize,
        /// Input that is expected at this offset.
        expected: &'static str,
    },
    /// Empty range of layers for a group, or a route without groups.
    #[error("layers {start}..{end}: expected at least one layer")]
    NoLayers {
        /// Start of the range.
        start: usize,
        /// End of the range, excluded.
        end: usize,
    },
    /// Group of layers whose first layer does not fit the previous group of the route.
    #[error("group {group} starts at layer {got}, expected {expected}")]
    GroupOrder {
        /// Index of the group in its route.
        group: usize,
        /// Allowed values of the first layer of the group.
        expected: String,
        /// First layer of the group.
        got: usize,
    },
    /// Group of layers that ends at a depth which is not allowed.
    #[error("group {group} ends after layer {got}, expected {expected}")]
    GroupEnd {
        /// Index of the group in its route.
        group: usize,
        /// Allowed depths.
        expected: String,
        /// Depth at which the group ends.
        got: usize,
    },
    /// Group of layers whose number of heads is not allowed.
    #[error("group {group} keeps {got} heads, expected {expected}")]
    HeadCount {
        /// Index of the group in its route or search space.
        group: usize,
        /// Allowed numbers of heads.
        expected: String,
        /// Number of heads of the group.
        got: usize,
    },
    /// Exit that is not deeper than the exit before it, or that is deeper than the last layer at which an exit is
    /// allowed.
    #[error("exit {index} is at depth {got}, expected {expected}")]
    Exit {
        /// Index of the exit in the list of exits.
        index: usize,
        /// Allowed depths.
        expected: String,
        /// Depth of the exit.
        got: usize,
    },
    /// Route that is not in the search space, or that is for a model of another size.
    #[error("route {route}: expected {expected}")]
    RouteNotInSpace {
        /// Notation of the route.
        route: String,
        /// Description of the allowed routes.
        expected: String,
    },
    /// Intact file whose contents this release cannot read, for example a model of another format version.
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
    /// Budget of FLOPs that the model reaches at no speed.
    #[error("a FLOPs ratio of {target} cannot be reached: this model's range is {least} to {most} on these texts")]
    Budget {
        /// Budget, as a share of the full model's FLOPs.
        target: f64,
        /// Share of the full model's FLOPs that the model needs at the highest speed.
        least: f64,
        /// Share of the full model's FLOPs that the model needs at speed 0, where every text runs all layers.
        most: f64,
    },
    /// Request that is rejected because the queue of the service is full.
    #[error("the queue is full: {waiting} wait, and at most {of} may wait; try again later")]
    Busy {
        /// Number and unit of what waits in the queue, such as the number of tokens.
        waiting: String,
        /// Largest number of texts or tokens that may wait in the queue.
        of: usize,
    },
    /// Request that is rejected because its deadline would pass while earlier requests are answered.
    #[error("the requests that wait take about {expected:.1?}, and the deadline is in {left:.1?}: try again later")]
    Backlog {
        /// Estimated time until the waiting requests are answered.
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
    /// Text that would have to be truncated although truncation is not allowed.
    #[error("text {text} has more than the {most} tokens that the model reads: shorten it, or let it be truncated")]
    TooLong {
        /// Index of the text in its request.
        text: usize,
        /// Maximum number of tokens, special ones included.
        most: usize,
    },
    /// Panic during the computation of an answer. The service continues.
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

/// Describes the number of texts that would prove a limit of a risk, and the smallest limit that the present texts
/// prove.
fn reach(needed: Option<usize>, least: f64) -> String {
    let texts = needed.map_or(String::new(), |needed| format!("some {needed} texts, or "));
    format!("{texts}a limit of at least {least:.4}")
}

impl Error {
    /// Returns the kind of the error, which tells a caller what to do about it.
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

    /// Returns whether the same request may succeed later, since the service is only busy at the moment.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Backlog { .. })
    }

    /// Wraps an error of a custom component of the caller, such as a router or an exit.
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
