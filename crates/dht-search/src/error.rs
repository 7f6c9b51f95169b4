//! The one error type of this crate.

/// The errors of this crate. Messages name what is wrong, where, and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of the transformer crate.
    #[error(transparent)]
    Transformer(#[from] dht_transformer::Error),
    /// An error of the bandits crate.
    #[error(transparent)]
    Bandits(#[from] dht_bandits::Error),
    /// An error of candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A saved state is not JSON of the expected form.
    #[error("{what}: {source}")]
    State {
        /// The state, or its file.
        what: String,
        /// The parser's message, with line and column.
        source: serde_json::Error,
    },
    /// A setting, or an argument, is out of range.
    #[error("{field} is {got}, expected {expected}")]
    Setting {
        /// The setting's name.
        field: &'static str,
        /// The allowed values.
        expected: String,
        /// Its value.
        got: String,
    },
    /// A promise about risk that calibration texts cannot show to be kept.
    #[error("at most {most} cannot be shown from {rows} texts: expected {}", reach(*needed, *least))]
    Promise {
        /// The limit.
        most: f64,
        /// The calibration texts.
        rows: usize,
        /// How many texts with the same losses would show it; `None` where they lose as much as that.
        needed: Option<usize>,
        /// The least limit that these texts show.
        least: f64,
    },
    /// Texts that a model was fitted on, where texts are wanted that it has not seen.
    #[error(
        "{rows} of {of} {what}, the first in row {first}, are texts that the model was fitted on: expected texts that neither it nor a \
         choice has seen"
    )]
    SeenTexts {
        /// What the texts are for.
        what: &'static str,
        /// How many of them it has seen.
        rows: usize,
        /// The first of them.
        first: usize,
        /// How many there are.
        of: usize,
    },
    /// A text is not a route such as `12L8H` or `7L9H+2L12H`.
    #[error("route {text:?}, byte {at}: expected {expected}")]
    Notation {
        /// The text; of a long one, the beginning.
        text: String,
        /// The offset in bytes of the first error.
        at: usize,
        /// What was expected there.
        expected: &'static str,
    },
    /// A group of layers without layers, or a route without groups.
    #[error("layers {start}..{end}: expected at least one layer")]
    NoLayers {
        /// The first layer.
        start: usize,
        /// The layer after the last.
        end: usize,
    },
    /// Groups of layers do not follow one another.
    #[error("group {group} starts at layer {got}, expected {expected}")]
    GroupOrder {
        /// The index of the group in its route.
        group: usize,
        /// The allowed first layers.
        expected: String,
        /// Its first layer.
        got: usize,
    },
    /// A group of layers ends at a depth where it may not.
    #[error("group {group} ends after layer {got}, expected {expected}")]
    GroupEnd {
        /// The index of the group in its route.
        group: usize,
        /// The allowed ends.
        expected: String,
        /// Its end.
        got: usize,
    },
    /// A group keeps a number of heads that is not allowed.
    #[error("group {group} keeps {got} heads, expected {expected}")]
    HeadCount {
        /// The index of the group in its route or space.
        group: usize,
        /// The allowed numbers of heads.
        expected: String,
        /// Its number of heads.
        got: usize,
    },
    /// An exit of a space is not deeper than the exit before it, or deeper than the layers.
    #[error("exit {index} is at depth {got}, expected {expected}")]
    Exit {
        /// The index of the exit in the list.
        index: usize,
        /// The allowed depths.
        expected: String,
        /// Its depth.
        got: usize,
    },
    /// A route is not in a space, or is for a model of another size.
    #[error("route {route}: expected {expected}")]
    RouteNotInSpace {
        /// The route.
        route: String,
        /// The routes of the space.
        expected: String,
    },
    /// A space has the same arm twice.
    #[error("arm {arm} ({route}) repeats arm {first}")]
    DuplicateArm {
        /// The index of the later one.
        arm: usize,
        /// The index of the earlier one.
        first: usize,
        /// The route of both.
        route: String,
    },
    /// An arm, or a list of arms, that a space does not have.
    #[error("{what} is {got}, expected {expected}")]
    Arm {
        /// The kind of arm.
        what: &'static str,
        /// The arms of the space.
        expected: String,
        /// The requested one.
        got: String,
    },
    /// A preset is not defined for a model of this size.
    #[error("{preset} on {layers} layers of {heads} heads: expected {expected}")]
    PresetSize {
        /// The preset.
        preset: &'static str,
        /// The model's layers.
        layers: usize,
        /// The model's heads.
        heads: usize,
        /// The sizes that it is defined for.
        expected: &'static str,
    },
    /// A file is intact, but contains no dynamic model that this release reads.
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
    /// A directory holds no saved model.
    #[error("{path} has no dht.json: {instead}", path = path.display())]
    NotAModel {
        /// The directory.
        path: std::path::PathBuf,
        /// The contents of the directory, or the directory to name.
        instead: &'static str,
    },
    /// A file of a saved model is not the one that was saved together with its checkpoint.
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
    /// A file does not describe a search space.
    #[error("{what}{line}: {problem}", line = line.map_or_else(String::new, |line| format!(":{line}")))]
    SpaceFile {
        /// The file, or `TOML text`.
        what: String,
        /// The line, from 1, where it is known.
        line: Option<usize>,
        /// The reason.
        problem: SpaceFileProblem,
    },
    /// A budget that no λ reaches.
    #[error("a FLOPs ratio of {target} cannot be reached: this model's range is {least} to {most} on these texts")]
    Budget {
        /// The budget, as a share of the full model's FLOPs.
        target: f64,
        /// The model's share as λ goes to infinity.
        least: f64,
        /// The model's share at λ = 0.
        most: f64,
    },
    /// A queue without room for a request.
    #[error("{waiting} wait already, of at most {of}: try again later")]
    Busy {
        /// What waits.
        waiting: String,
        /// The limit.
        of: usize,
    },
    /// A request whose deadline would pass while others are answered.
    #[error("what waits takes about {expected:.1?}, and the deadline is in {left:.1?}: try again later")]
    Backlog {
        /// The time that what waits may take.
        expected: std::time::Duration,
        /// The time to the deadline.
        left: std::time::Duration,
    },
    /// A request that was not answered before its deadline.
    #[error("the deadline passed before the answer")]
    Deadline,
    /// A request to a service that stops.
    #[error("the service stops and takes no more requests")]
    Stopping,
    /// A text that would be truncated, where that is not wanted.
    #[error("text {text} has more than the {most} tokens that the model reads: shorten it, or let it be truncated")]
    TooLong {
        /// Its index in its request.
        text: usize,
        /// The most tokens, special ones included.
        most: usize,
    },
    /// A computation that panicked; the service goes on.
    #[error("the computation panicked: {message}")]
    Panic {
        /// The panic's message.
        message: String,
    },
    /// A label that nothing can be learned from.
    #[error("label of text {id}: {problem}")]
    Label {
        /// The number of the text.
        id: u64,
        /// The reason.
        problem: LabelProblem,
    },
    /// A loss from which no reward can be computed.
    #[error("loss is {loss}, expected a finite number, at least 0")]
    Loss {
        /// The loss.
        loss: f64,
    },
}

/// Why nothing can be learned from a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelProblem {
    /// No decision waits for it.
    #[error("expected a text that was decided and waits for its label")]
    Unknown,
    /// The text has its label.
    #[error("expected one label, got a second")]
    Twice,
    /// The class is none of the model's.
    #[error(
        "class is {class}, expected one of the {classes} that the model was fitted on; a new class takes a new model"
    )]
    Class {
        /// The class.
        class: u32,
        /// How many classes the model has.
        classes: usize,
    },
}

/// Why a file does not describe a search space.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpaceFileProblem {
    /// It is not TOML, a key is missing, unknown or of another type, or a route has no valid notation.
    #[error("{message}")]
    Content {
        /// The parser's message.
        message: String,
    },
    /// It describes an invalid space: exits out of order, more heads than the model has, …
    #[error("{0}")]
    Space(#[source] Box<Error>),
}

fn checksum(checksum: Option<&str>) -> &str {
    checksum.unwrap_or("none (no such file)")
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What would be in reach of a promise.
fn reach(needed: Option<usize>, least: f64) -> String {
    let texts = needed.map_or(String::new(), |needed| format!("some {needed} texts, or "));
    format!("{texts}a limit of at least {least:.4}")
}

impl Error {
    /// A setting or argument that is out of range.
    pub(crate) fn setting(field: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Setting { field, expected: expected.into(), got: got.to_string() }
    }
}
