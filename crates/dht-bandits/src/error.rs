//! The error type: every reason for which a call is refused.

use crate::arm::ArmId;
use std::io;
use std::path::{Path, PathBuf};

/// A refused call: what was wrong, where, and what would have been right.
///
/// The object that returned it is unchanged, bit for bit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A slice has the wrong length.
    #[error("{what} has length {got}, expected {expected}")]
    Dimension {
        /// Which input.
        what: &'static str,
        /// The length that would be right.
        expected: usize,
        /// The length given.
        got: usize,
    },
    /// A value is NaN or infinite.
    #[error("{what}[{index}] is {}, expected a finite number", Number(*value))]
    NotFinite {
        /// Which input or quantity.
        what: &'static str,
        /// Its index in the input (0 for a scalar).
        index: usize,
        /// The value.
        value: f64,
    },
    /// A value is so large that what is learned from it could overflow, now or later.
    #[error("{what} is {value:e}: beyond ±{limit:e}, sums could overflow")]
    TooLarge {
        /// Which input or quantity.
        what: &'static str,
        /// The value.
        value: f64,
        /// The largest magnitude that is accepted.
        limit: f64,
    },
    /// Settings, or the contents of a file of a policy, that cannot be understood or do not fit together.
    #[error("settings: {problem}")]
    Settings {
        /// What is wrong, with the key or the place.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What kind of failure: not found, no permission, a full disk.
        kind: io::ErrorKind,
        /// What the system says.
        problem: String,
    },
    /// Memory that cannot be had, or beyond 1 TiB, which no choice could read in time.
    #[error("{what} would need {bytes} bytes of memory: more than there is, or than the limit of 1 TiB")]
    Memory {
        /// What it is for.
        what: &'static str,
        /// How much, as far as a `u64` can tell.
        bytes: u64,
    },
    /// A setting is out of its range.
    #[error("{name} = {} is not allowed: it must be {requirement}", Number(*value))]
    Parameter {
        /// The setting's name.
        name: &'static str,
        /// The value given.
        value: f64,
        /// The range that would be right.
        requirement: &'static str,
    },
    /// No arm with this id has ever existed here.
    #[error("{arm} is unknown")]
    UnknownArm {
        /// The id given.
        arm: ArmId,
    },
    /// The arm existed and was removed.
    #[error("{arm} has been removed")]
    RemovedArm {
        /// The id given.
        arm: ArmId,
    },
    /// An arm with this id exists already.
    #[error("{arm} exists already")]
    ArmExists {
        /// The id given.
        arm: ArmId,
    },
    /// An arm is listed twice where each may be listed once.
    #[error("{arm} is listed twice")]
    DuplicateArm {
        /// The id given twice.
        arm: ArmId,
    },
    /// There is no arm to choose from.
    #[error("no arm is available: {arms} arms exist, none of them may be chosen")]
    NoArms {
        /// How many arms exist.
        arms: usize,
    },
    /// A policy has no such operation.
    #[error("this policy does not support {what}")]
    Unsupported {
        /// The operation.
        what: &'static str,
    },
    /// A model of the caller's predicted a value that is not finite, or a negative width.
    #[error("the oracle gives {arm} the {what} {}, expected a finite number, widths not negative", Number(*value))]
    Oracle {
        /// The arm.
        arm: ArmId,
        /// `prediction` or `width`.
        what: &'static str,
        /// The value.
        value: f64,
    },
    /// The policy knows arms by their features, and the request has none.
    #[error("the actions have no features: this policy needs {width} of each arm (`Actions::Featured`)")]
    NeedsFeatures {
        /// How many features an arm must have.
        width: usize,
    },
    /// A context next to shared weights, without products of context and features.
    #[error(
        "a context of length {context} cannot change which arm shared weights prefer: it adds the same to every score. Add \
         products of context and features (`TopK::with_interactions`, in settings `interactions`), or leave the context out"
    )]
    NeedsInteractions {
        /// The length of the context.
        context: usize,
    },
    /// A floor of probabilities that not all arms can have.
    #[error("floor {} is above 1/{arms}: {arms} arms cannot all have it, lower it or offer fewer arms", Number(*floor))]
    Floor {
        /// The floor.
        floor: f64,
        /// The number of arms that may be chosen.
        arms: usize,
    },
    /// A slate is larger than what is available.
    #[error("cannot choose {wanted} arms: only {available} are available")]
    TooFewArms {
        /// How many were asked for.
        wanted: usize,
        /// How many could be chosen.
        available: usize,
    },
    /// The weight of an observation is not positive and finite, or beyond 1e±100.
    #[error("weight {} is not allowed: it must be positive, from 1e-100 to 1e100", Number(*weight))]
    Weight {
        /// The weight given.
        weight: f64,
    },
    /// The reward is outside the range of the policy's model.
    #[error("reward {} is outside [{}, {}]", Number(*reward), Number(*low), Number(*high))]
    Reward {
        /// The reward given.
        reward: f64,
        /// The smallest reward allowed.
        low: f64,
        /// The largest reward allowed.
        high: f64,
    },
    /// The decision was made before decisions were last expired.
    #[error("decision of epoch {made_in} is stale: decisions have been expired since, this is epoch {epoch}")]
    StaleDecision {
        /// The epoch of the decision.
        made_in: u64,
        /// This policy's epoch.
        epoch: u64,
    },
    /// The decision was made after an expiry that this policy does not know of: it was saved before it, or is another
    /// policy.
    #[error("decision of epoch {made_in} is foreign: this policy has not gone beyond epoch {epoch}")]
    ForeignDecision {
        /// The epoch of the decision.
        made_in: u64,
        /// This policy's epoch.
        epoch: u64,
    },
    /// A count would exceed its limit.
    #[error("{what} is {count}: {added} more would exceed {limit}")]
    CountLimit {
        /// What is counted.
        what: &'static str,
        /// The count so far.
        count: u64,
        /// What was to be added.
        added: u64,
        /// The largest count.
        limit: u64,
    },
    /// Feedback for an arm that takes none, because it is pinned.
    #[error("{arm} is pinned and takes no feedback")]
    PinnedArm {
        /// The id given.
        arm: ArmId,
    },
    /// A saved state is of another kind.
    #[error("saved state is a {found:?}, expected a {expected:?}")]
    ForeignState {
        /// The kind that would be right.
        expected: String,
        /// The kind found.
        found: String,
    },
    /// A saved state of an older version in a binary format, whose fields may be in other positions.
    #[error(
        "saved state has format version {found}, expected {required}: in a binary format fields may have moved; save it \
         as JSON with the version that wrote it"
    )]
    OlderState {
        /// The only version that is read from binary formats.
        required: u32,
        /// The version found.
        found: u32,
    },
    /// A saved state was written by a newer version of this crate.
    #[error("saved state has format version {found}; versions up to {supported} can be read")]
    NewerState {
        /// The newest version that can be read.
        supported: u32,
        /// The version found.
        found: u32,
    },
    /// A saved state contradicts itself.
    #[error("saved state is invalid: {what} {index}: {problem}")]
    InvalidState {
        /// Which part.
        what: &'static str,
        /// Its index among parts of the same kind (0 if there is one).
        index: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Two states cannot be merged or compared.
    #[error("cannot combine: {what} is {ours} here and {theirs} there")]
    Unlike {
        /// What differs.
        what: &'static str,
        /// Its value here.
        ours: f64,
        /// Its value there.
        theirs: f64,
    },
    /// A matrix that must be positive definite is not.
    #[error("{what} is not positive definite: pivot {pivot} is {}", Number(*value))]
    NotPositiveDefinite {
        /// Which matrix.
        what: &'static str,
        /// The first pivot that fails.
        pivot: usize,
        /// Its value.
        value: f64,
    },
    /// An observation makes up so much of a precision that without it too few digits would be left.
    #[error(
        "{what} loses its digits: pivot {pivot} would be {value:e} of what it is, at least {least:e} of it must be left"
    )]
    LostDigits {
        /// Which matrix.
        what: &'static str,
        /// The first pivot of which too little would be left.
        pivot: usize,
        /// What would be left of it, as a share of what it is.
        value: f64,
        /// The smallest share that is accepted.
        least: f64,
    },
    /// An iteration did not reach its tolerance.
    #[error("{what} did not converge in {iterations} iterations")]
    NoConvergence {
        /// Which iteration.
        what: &'static str,
        /// How many steps it took.
        iterations: usize,
    },
    /// A logged propensity is not in (0, 1].
    #[error("logged propensity {} of round {round} is outside (0, 1]", Number(*propensity))]
    Propensity {
        /// The round of the log.
        round: usize,
        /// The propensity found.
        propensity: f64,
    },
    /// A value of a log is so large that estimates from it could overflow.
    #[error("{what} of logged round {round} is {value:e}: beyond ±{limit:e}, estimates could overflow")]
    LoggedRound {
        /// The round of the log.
        round: usize,
        /// Which value; `weight` is the importance weight, target over propensity.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The largest magnitude that is accepted.
        limit: f64,
    },
    /// The evaluated policy never does what was logged, so that the log says nothing of it.
    #[error(
        "no overlap at position {position}: importance weights sum up to {}, the log says nothing of this policy",
        Number(*weights)
    )]
    NoOverlap {
        /// The position in the slate; 0 for single choices and for whole slates.
        position: usize,
        /// The sum of the importance weights.
        weights: f64,
    },
    /// An estimator that needs propensities met a logged round without one.
    #[error(
        "{estimator} needs a propensity in every logged round: round {round} has none; the direct method needs none"
    )]
    NoPropensity {
        /// The estimator.
        estimator: &'static str,
        /// The first round without a propensity.
        round: usize,
    },
    /// An estimator that needs a model's predictions met a logged round without one.
    #[error("{estimator} needs a model's prediction in every logged round: round {round} has none")]
    NoModel {
        /// The estimator.
        estimator: &'static str,
        /// The first round without a prediction.
        round: usize,
    },
    /// A logged slate cannot be judged, since what the policy was asked is not known.
    #[error("slate {id} was logged without its request: `DecisionLog::append_slate_request` writes it")]
    NoRequest {
        /// Its id in the log.
        id: u64,
    },
    /// What was given as the probabilities of arms is not a distribution.
    #[error("the probabilities of {what} are not a distribution: {problem}")]
    NotADistribution {
        /// Whose probabilities.
        what: &'static str,
        /// What is wrong with them.
        problem: String,
    },
    /// Two things of one name, where each needs one of its own.
    #[error("each {what} needs a name of its own: two are named {name:?}")]
    DuplicateName {
        /// What they are.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// An error in one round of a log.
    #[error("logged round {round}: {source}")]
    InRound {
        /// The round of the log.
        round: usize,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// There is nothing to estimate from.
    #[error("{what} needs at least {needed} observations, got {got}")]
    TooFewObservations {
        /// What was to be computed.
        what: &'static str,
        /// How many it needs.
        needed: usize,
        /// How many there are.
        got: usize,
    },
}

impl Error {
    /// A failure to read or write a file.
    #[cfg_attr(not(feature = "settings"), expect(dead_code, reason = "files are read with the feature alone"))]
    pub(crate) fn file(path: &Path, error: &io::Error) -> Self {
        Self::File { path: path.to_owned(), kind: error.kind(), problem: error.to_string() }
    }
}

/// The result of a call that may be refused.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A number as messages show it: with an exponent where it would have many zeros.
pub(crate) struct Number(pub(crate) f64);

impl std::fmt::Display for Number {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = self.0.abs();
        let plain = size == 0.0 || (1e-5..1e16).contains(&size) || !size.is_finite();
        if plain { write!(formatter, "{}", self.0) } else { write!(formatter, "{:e}", self.0) }
    }
}
