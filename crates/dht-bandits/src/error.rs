//! Error type of the crate: every reason for which a call is refused.

use std::io;
use std::path::PathBuf;

use crate::arm::ArmId;

/// Error of a refused call: what was wrong, where, and what was expected.
///
/// The object that refused the call is unchanged, bit for bit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A slice has the wrong length.
    #[error("{what} has length {got}, expected {expected}")]
    Dimension {
        /// Name of the input.
        what: &'static str,
        /// Expected length.
        expected: usize,
        /// Actual length.
        got: usize,
    },
    /// A value is NaN or infinite.
    #[error("{what}[{index}] is {}, expected a finite number", Number(*value))]
    NotFinite {
        /// Name of the input or quantity.
        what: &'static str,
        /// Index in the input (0 for a scalar).
        index: usize,
        /// Rejected value.
        value: f64,
    },
    /// A value is so large that the learned state could overflow, now or later.
    #[error("{what} is {value:e}: beyond ±{limit:e}, sums could overflow")]
    TooLarge {
        /// Name of the input or quantity.
        what: &'static str,
        /// Rejected value.
        value: f64,
        /// Largest accepted magnitude.
        limit: f64,
    },
    /// An index of a sparse context is outside its feature space, or not a whole number.
    #[error("index {} at position {position} is outside the feature space: expected 0 to {}", Number(*index), size - 1)]
    SparseIndex {
        /// Position of the pair in the context.
        position: usize,
        /// Rejected index.
        index: f64,
        /// Number of indices in the feature space.
        size: usize,
    },
    /// The indices of a sparse context do not ascend, or an index occurs twice.
    #[error("index {index} at position {position} follows {before}: sort the indices, and add values of one index")]
    SparseOrder {
        /// Position of the pair in the context.
        position: usize,
        /// Rejected index.
        index: u64,
        /// Index of the pair before the rejected index.
        before: u64,
    },
    /// A policy needs a sparse context and received other numbers.
    #[error("this is not a sparse context: {problem} (`features::SparseContext`)")]
    NotSparse {
        /// Description of the problem.
        problem: String,
    },
    /// A sparse context belongs to another feature space: its number of bits or the settings of its hasher differ.
    #[error("the context has {found}, this policy has {expected}: hash both with the same settings")]
    OtherFeatureSpace {
        /// Feature space of the policy.
        expected: String,
        /// Feature space of the context.
        found: String,
    },
    /// Settings or a policy file cannot be parsed, or contradict each other.
    #[error("settings: {problem}")]
    Settings {
        /// Description of the problem, with the key or the position.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {problem}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Kind of the failure: not found, no permission, a full disk.
        kind: io::ErrorKind,
        /// Message of the operating system.
        problem: String,
    },
    /// Memory cannot be allocated, or more than 1 TiB is needed, which no choice could read in time.
    #[error("{what} would need {bytes} bytes of memory: more than there is, or than the limit of 1 TiB")]
    Memory {
        /// Purpose of the memory.
        what: &'static str,
        /// Number of bytes needed; `u64::MAX` if the number does not fit.
        bytes: u64,
    },
    /// A setting is out of its range.
    #[error("{name} = {} is not allowed: it must be {requirement}", Number(*value))]
    Parameter {
        /// Name of the setting.
        name: &'static str,
        /// Rejected value.
        value: f64,
        /// Accepted range.
        requirement: &'static str,
    },
    /// No arm with this id has ever existed here.
    #[error("{arm} is unknown")]
    UnknownArm {
        /// Id of the arm.
        arm: ArmId,
    },
    /// The arm existed and was removed.
    #[error("{arm} has been removed")]
    RemovedArm {
        /// Id of the arm.
        arm: ArmId,
    },
    /// Arm with this id already exists.
    #[error("{arm} exists already")]
    ArmExists {
        /// Id of the arm.
        arm: ArmId,
    },
    /// An arm is listed twice where each may be listed once.
    #[error("{arm} is listed twice")]
    DuplicateArm {
        /// Id that is listed twice.
        arm: ArmId,
    },
    /// No arm is available.
    #[error("no arm is available: {arms} arms exist, none of them may be chosen")]
    NoArms {
        /// Number of existing arms.
        arms: usize,
    },
    /// The policy does not support this operation.
    #[error("this policy does not support {what}")]
    Unsupported {
        /// Operation that is not supported.
        what: &'static str,
    },
    /// The caller's model predicted a value that is not finite, or a negative width.
    #[error("the oracle gives {arm} the {what} {}, expected a finite number, widths not negative", Number(*value))]
    Oracle {
        /// Arm of the prediction.
        arm: ArmId,
        /// `prediction` or `width`.
        what: &'static str,
        /// Predicted value.
        value: f64,
    },
    /// The policy distinguishes arms by their features, and the request has no features.
    #[error("the actions have no features: this policy needs {width} of each arm (`Request::featured`)")]
    NeedsFeatures {
        /// Number of features that each arm must have.
        width: usize,
    },
    /// A policy with shared weights received a context, but has no products of the context and the features of arms.
    #[error(
        "a context of length {context} cannot change which arm shared weights prefer: it adds the same to every score. Add \
         products of context and features (`TopK::with_interactions`, in settings `interactions`), or leave the context out"
    )]
    NeedsInteractions {
        /// Length of the context.
        context: usize,
    },
    /// The floor, a minimum probability of each arm, exceeds 1/K: not all K available arms can have this probability.
    #[error("floor {} is above 1/{arms}: {arms} arms cannot all have it, lower it or offer fewer arms", Number(*floor))]
    Floor {
        /// Rejected floor.
        floor: f64,
        /// Number of available arms.
        arms: usize,
    },
    /// The slate is larger than the number of available arms.
    #[error("cannot choose {wanted} arms: only {available} are available")]
    TooFewArms {
        /// Number of arms requested.
        wanted: usize,
        /// Number of arms available.
        available: usize,
    },
    /// The weight of an observation is not positive and finite, or beyond 1e±100.
    #[error("weight {} is not allowed: it must be positive, from 1e-100 to 1e100", Number(*weight))]
    Weight {
        /// Rejected weight.
        weight: f64,
    },
    /// The reward is outside the range of the policy's model.
    #[error("reward {} is outside [{}, {}]", Number(*reward), Number(*low), Number(*high))]
    Reward {
        /// Rejected reward.
        reward: f64,
        /// Smallest accepted reward.
        low: f64,
        /// Largest accepted reward.
        high: f64,
    },
    /// The decision was made before the last expiry of decisions.
    #[error("decision of epoch {made_in} is stale: decisions have been expired since, this is epoch {epoch}")]
    StaleDecision {
        /// Epoch of the decision.
        made_in: u64,
        /// Epoch of this policy.
        epoch: u64,
    },
    /// The decision belongs to an epoch that this policy has not reached. The policy was saved before that epoch began,
    /// or another policy made the decision.
    #[error("decision of epoch {made_in} is foreign: this policy has only reached epoch {epoch}")]
    ForeignDecision {
        /// Epoch of the decision.
        made_in: u64,
        /// Epoch of this policy.
        epoch: u64,
    },
    /// A count would exceed its limit.
    #[error("{what} is {count}: {added} more would exceed {limit}")]
    CountLimit {
        /// Name of the count.
        what: &'static str,
        /// Current count.
        count: u64,
        /// Number to add.
        added: u64,
        /// Largest accepted count.
        limit: u64,
    },
    /// Feedback was given for a pinned arm of a slate. Pinned arms take no feedback.
    #[error("{arm} is pinned and takes no feedback")]
    PinnedArm {
        /// Id of the arm.
        arm: ArmId,
    },
    /// The saved state is of another type.
    #[error("saved state is a {found:?}, expected a {expected:?}")]
    ForeignState {
        /// Expected type.
        expected: String,
        /// Type of the state.
        found: String,
    },
    /// The saved state has a binary format of an older version, in which fields may be at other positions.
    #[error(
        "saved state has format version {found}, expected {required}: in a binary format fields may have moved; save it \
         as JSON with the version that wrote it"
    )]
    OlderState {
        /// Only format version that is read from binary formats.
        required: u32,
        /// Version of the state.
        found: u32,
    },
    /// The saved state was written by a newer version of this crate.
    #[error("saved state has format version {found}; versions up to {supported} can be read")]
    NewerState {
        /// Newest format version that can be read.
        supported: u32,
        /// Version of the state.
        found: u32,
    },
    /// The saved state contradicts itself.
    #[error("saved state is invalid: {what} {index}: {problem}")]
    InvalidState {
        /// Name of the invalid part.
        what: &'static str,
        /// Index among parts of the same name (0 if there is only one).
        index: usize,
        /// Description of the problem.
        problem: String,
    },
    /// Two states cannot be merged or compared.
    #[error("cannot combine: {what} is {ours} here and {theirs} there")]
    Unlike {
        /// Name of the quantity that differs.
        what: &'static str,
        /// Value in the object that was called.
        ours: f64,
        /// Value in the argument.
        theirs: f64,
    },
    /// A matrix that must be positive definite is not.
    #[error("{what} is not positive definite: pivot {pivot} is {}", Number(*value))]
    NotPositiveDefinite {
        /// Name of the matrix.
        what: &'static str,
        /// Index of the first pivot that fails.
        pivot: usize,
        /// Value of the first pivot that fails.
        value: f64,
    },
    /// Removing an observation would leave too few correct digits in a precision matrix.
    #[error(
        "{what} would lose too many digits: pivot {pivot} would keep {value:e} of its value, expected at least {least:e}"
    )]
    LostDigits {
        /// Name of the matrix.
        what: &'static str,
        /// Index of the first pivot that would lose too many digits.
        pivot: usize,
        /// Fraction of the pivot that would remain.
        value: f64,
        /// Smallest accepted fraction.
        least: f64,
    },
    /// An iteration did not reach its tolerance.
    #[error("{what} did not converge in {iterations} iterations")]
    NoConvergence {
        /// Name of the iteration.
        what: &'static str,
        /// Number of steps taken.
        iterations: usize,
    },
    /// A logged propensity is not in (0, 1].
    #[error("logged propensity {} of round {round} is outside (0, 1]", Number(*propensity))]
    Propensity {
        /// Round of the log.
        round: usize,
        /// Logged propensity.
        propensity: f64,
    },
    /// A value of the log is so large that estimates from it could overflow.
    #[error("{what} of logged round {round} is {value:e}: beyond ±{limit:e}, estimates could overflow")]
    LoggedRound {
        /// Round of the log.
        round: usize,
        /// Name of the value; `weight` is the importance weight, the evaluated policy's probability of the logged
        /// action divided by the propensity.
        what: &'static str,
        /// Logged value.
        value: f64,
        /// Largest accepted magnitude.
        limit: f64,
    },
    /// No overlap: the evaluated policy never takes a logged action, so that the log cannot estimate its value.
    #[error(
        "no overlap at position {position}: importance weights sum up to {}, the log says nothing about this policy",
        Number(*weights)
    )]
    NoOverlap {
        /// Position in the slate; 0 for single choices and for whole slates.
        position: usize,
        /// Sum of the importance weights.
        weights: f64,
    },
    /// A policy gradient cannot be learned from this log, because the logging policy never explored.
    #[error(
        "the logging policy never explored: each of the {rows} rows has the propensity 1, so that the log does not say what \
         another arm would have earned"
    )]
    NeverExplored {
        /// Number of rows.
        rows: usize,
    },
    /// An estimator needs propensities, and a logged round has none.
    #[error(
        "{estimator} needs a propensity in every logged round: round {round} has none; the direct method needs none"
    )]
    NoPropensity {
        /// Name of the estimator.
        estimator: &'static str,
        /// First round without a propensity.
        round: usize,
    },
    /// An estimator with a bias was asked for an interval. Such an interval would not include the bias.
    #[error("{estimator} has a bias that an interval would not include: use IPS, SNIPS, DR or SNDR")]
    NoInterval {
        /// Name of the estimator.
        estimator: &'static str,
    },
    /// A policy cannot be judged on rows from which it learned.
    #[error(
        "policy {policy:?} learned from logged round {round}, on which it is to be judged: judge it on other rows, or learn \
         it fold by fold (`Target::cross_fitted`)"
    )]
    LearnedFromLog {
        /// Name of the policy.
        policy: String,
        /// First round of the log from which the policy learned.
        round: usize,
    },
    /// An estimator needs a reward model's predictions, and a logged round has none.
    #[error("{estimator} needs a model's prediction in every logged round: round {round} has none")]
    NoModel {
        /// Name of the estimator.
        estimator: &'static str,
        /// First round without a prediction.
        round: usize,
    },
    /// A logged slate cannot be evaluated because its request was not logged.
    #[error("slate {id} was logged without its request: `DecisionLog::append_slate_request` writes it")]
    NoRequest {
        /// Id of the slate in the log.
        id: u64,
    },
    /// The probabilities of the arms are not a distribution.
    #[error("the probabilities of {what} are not a distribution: {problem}")]
    NotADistribution {
        /// Name of the object to which the probabilities belong.
        what: &'static str,
        /// Description of the problem.
        problem: String,
    },
    /// Two objects have the same name where names must be unique.
    #[error("each {what} needs a unique name: two are named {name:?}")]
    DuplicateName {
        /// Type of the objects.
        what: &'static str,
        /// Duplicate name.
        name: String,
    },
    /// An error occurred in one round of a log.
    #[error("logged round {round}: {source}")]
    InRound {
        /// Round of the log.
        round: usize,
        /// Error in this round.
        source: Box<Error>,
    },
    /// There are too few observations for an estimate.
    #[error("{what} needs at least {needed} observations, got {got}")]
    TooFewObservations {
        /// Quantity to compute.
        what: &'static str,
        /// Smallest number of observations.
        needed: usize,
        /// Actual number of observations.
        got: usize,
    },
}

impl Error {
    /// Converts a failure to read or write a file.
    #[cfg(any(feature = "log", feature = "settings"))]
    pub(crate) fn file(path: &std::path::Path, error: &io::Error) -> Self {
        Self::File { path: path.to_owned(), kind: error.kind(), problem: error.to_string() }
    }
}

/// Result of a call that can be refused.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Number as error messages show it: with an exponent if it would have many zeros.
pub(crate) struct Number(pub(crate) f64);

impl std::fmt::Display for Number {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = self.0.abs();
        let plain = size == 0.0 || (1e-5..1e16).contains(&size) || !size.is_finite();
        if plain { write!(formatter, "{}", self.0) } else { write!(formatter, "{:e}", self.0) }
    }
}
