/// What can go wrong in this crate: what, where, and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The encoder refused something.
    #[error(transparent)]
    Transformer(#[from] dht_transformer::Error),
    /// A bandit refused something.
    #[error(transparent)]
    Bandits(#[from] dht_bandits::Error),
    /// candle refused an operation.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A saved state is not JSON of the expected form.
    #[error("{what}: {source}")]
    State {
        /// The state, or its file.
        what: String,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// A setting lies outside what it may be.
    #[error("{field} is {got}, expected {expected}")]
    Setting {
        /// The setting's name.
        field: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// A text is not a route such as `12L8H` or `7L9H+2L12H`.
    #[error("route {text:?}, byte {at}: expected {expected}")]
    Notation {
        /// The text (its beginning, when it is long).
        text: String,
        /// The byte where it stops being a route.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A group of layers holds no layer, or a route no group.
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
        /// The group's place in its route.
        group: usize,
        /// Where it should start.
        expected: String,
        /// Where it starts.
        got: usize,
    },
    /// A group of layers ends where it must not.
    #[error("group {group} ends after layer {got}, expected {expected}")]
    GroupEnd {
        /// The group's place in its route.
        group: usize,
        /// Where it may end.
        expected: String,
        /// Where it ends.
        got: usize,
    },
    /// A group keeps a number of heads that it must not.
    #[error("group {group} keeps {got} heads, expected {expected}")]
    HeadCount {
        /// The group's place in its route or space.
        group: usize,
        /// What it may keep.
        expected: String,
        /// What it would keep.
        got: usize,
    },
    /// An exit of a space lies before another or beyond the layers.
    #[error("exit {index} is at depth {got}, expected {expected}")]
    Exit {
        /// The exit's place in the list.
        index: usize,
        /// Where it may be.
        expected: String,
        /// Where it is.
        got: usize,
    },
    /// A route does not belong to a space, or does not fit its layers.
    #[error("route {route}: expected {expected}")]
    RouteNotInSpace {
        /// The route.
        route: String,
        /// What the space has.
        expected: String,
    },
    /// A space has the same arm twice.
    #[error("arm {arm} ({route}) repeats arm {first}")]
    DuplicateArm {
        /// The later of the two.
        arm: usize,
        /// The earlier.
        first: usize,
        /// What both are.
        route: String,
    },
    /// An arm, or a list of arms, that a space does not have.
    #[error("{what} is {got}, expected {expected}")]
    Arm {
        /// Which arm.
        what: &'static str,
        /// What the space has.
        expected: String,
        /// What was asked for.
        got: String,
    },
    /// A preset has no meaning for a model of this size.
    #[error("{preset} on {layers} layers of {heads} heads: expected {expected}")]
    PresetSize {
        /// The preset.
        preset: &'static str,
        /// The model's layers.
        layers: usize,
        /// The model's heads.
        heads: usize,
        /// Which sizes it has.
        expected: &'static str,
    },
    /// A file is whole, but holds no dynamic model that this release reads.
    #[error("{path}: its {field} is {got}, expected {expected}", path = path.display())]
    Model {
        /// The file.
        path: std::path::PathBuf,
        /// What of it.
        field: &'static str,
        /// What this release reads.
        expected: String,
        /// What it is.
        got: String,
    },
    /// A file of a saved model is not the one that was saved with its checkpoint.
    #[error(
        "{path} is not the file that {checkpoint} was saved with: its SHA-256 sum is {got}, expected {expected}; put the \
         file of that save back",
        path = path.display(), checkpoint = checkpoint.display(), got = sum(got.as_deref()), expected = sum(expected.as_deref()),
    )]
    ModelFile {
        /// The file.
        path: std::path::PathBuf,
        /// The checkpoint that knows the file's sum.
        checkpoint: std::path::PathBuf,
        /// The sum of the file that was saved; `None` where there was no such file.
        expected: Option<String>,
        /// The sum of the file that is there; `None` where there is none.
        got: Option<String>,
    },
    /// A settings file is no search space.
    #[error("{what}{line}: {problem}", line = line.map_or_else(String::new, |line| format!(":{line}")))]
    SpaceFile {
        /// The file, or `TOML text`.
        what: String,
        /// The line, from 1, where that is known.
        line: Option<usize>,
        /// What is wrong with it.
        problem: SpaceFileProblem,
    },
    /// A cost that no setting of the speed knob comes to.
    #[error("a FLOPs ratio of {target} is out of reach: this model goes from {least} to {most} on these texts")]
    Budget {
        /// What was asked for, as a share of the full model's FLOPs.
        target: f64,
        /// What the model costs when nothing but cost counts.
        least: f64,
        /// What it costs when cost does not count, λ = 0.
        most: f64,
    },
    /// A loss that no reward can be made of.
    #[error("loss is {loss}, expected a finite number, 0 or more")]
    Loss {
        /// The loss.
        loss: f64,
    },
}

/// Why a settings file is refused as a search space.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpaceFileProblem {
    /// It is not TOML, or a key is missing, unknown or of another type, or a route is written wrongly.
    #[error("{message}")]
    Content {
        /// What the parser said.
        message: String,
    },
    /// It describes a space that cannot be: exits out of order, more heads than there are, …
    #[error("{0}")]
    Space(#[source] Box<Error>),
}

fn sum(sum: Option<&str>) -> &str {
    sum.unwrap_or("none (no such file)")
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A setting outside what it may be.
    pub(crate) fn setting(field: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Setting { field, expected: expected.into(), got: got.to_string() }
    }
}
