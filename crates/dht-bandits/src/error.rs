//! Error type of the crate.

use std::io;
use std::path::PathBuf;

use crate::arm::ArmId;

/// Error of a call that failed: the problem, its location, and the expected value.
///
/// A failed call does not change the object on which it was made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A slice, such as a context, has the wrong length.
    #[error("{what} has length {got}, expected {expected}")]
    Dimension {
        /// Name of the slice.
        what: &'static str,
        /// Expected length.
        expected: usize,
        /// Actual length.
        got: usize,
    },
    /// A value is NaN or infinite.
    #[error("{what}[{index}] is {}, expected a finite number", Number(*value))]
    NotFinite {
        /// Name of the input or computed quantity.
        what: &'static str,
        /// Index of the value in the input (0 for a scalar).
        index: usize,
        /// Value that is not finite.
        value: f64,
    },
    /// A value is so large that the learned state could overflow, at once or after further updates.
    #[error("{what} is {value:e}: beyond ±{limit:e}, sums could overflow")]
    TooLarge {
        /// Name of the input or computed quantity.
        what: &'static str,
        /// Rejected value.
        value: f64,
        /// Largest accepted magnitude.
        limit: f64,
    },
    /// An index of a sparse context is not below the size of the feature space, or is not a whole number.
    #[error("index {} at position {position} is outside the feature space: expected 0 to {}", Number(*index), size - 1)]
    SparseIndex {
        /// Position of the invalid index-value pair in the sparse context.
        position: usize,
        /// Invalid index.
        index: f64,
        /// Number of indices in the feature space.
        size: usize,
    },
    /// The indices of a sparse context do not ascend, or an index occurs twice.
    #[error("index {index} at position {position} follows {before}: sort the indices, and add values of one index")]
    SparseOrder {
        /// Position of the invalid index-value pair in the sparse context.
        position: usize,
        /// Index that is not larger than the index before it.
        index: u64,
        /// Index of the preceding pair.
        before: u64,
    },
    /// A sparse context was required, and the numbers that were passed do not have its format.
    #[error("this is not a sparse context: {problem} (`features::SparseContext`)")]
    NotSparse {
        /// Difference from the format of a sparse context.
        problem: String,
    },
    /// A sparse context belongs to another feature space than the policy: they differ in the number of index bits or in
    /// the settings of the feature hasher.
    #[error("the context has {found}, this policy has {expected}: hash both with the same settings")]
    OtherFeatureSpace {
        /// Feature space of the policy.
        expected: String,
        /// Feature space of the context.
        found: String,
    },
    /// A settings or policy file cannot be parsed, or its settings contradict each other.
    #[error("settings: {problem}")]
    Settings {
        /// Description of the problem, with the settings key or the position in the file.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {problem}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Category of the failure, such as "not found" or "permission denied".
        kind: io::ErrorKind,
        /// Error message of the operating system.
        problem: String,
    },
    /// Memory cannot be allocated, or more than 1 TiB is needed. A policy reads its whole state for each choice, which
    /// would take minutes at this size.
    #[error("{what} would need {bytes} bytes of memory: more than there is, or than the limit of 1 TiB")]
    Memory {
        /// Purpose for which memory was needed.
        what: &'static str,
        /// Number of bytes needed; `u64::MAX` if the number does not fit in a `u64`.
        bytes: u64,
    },
    /// A setting is outside its accepted range.
    #[error("{name} = {} is not allowed: it must be {requirement}", Number(*value))]
    Parameter {
        /// Name of the setting.
        name: &'static str,
        /// Rejected value.
        value: f64,
        /// Accepted range.
        requirement: &'static str,
    },
    /// The policy has never had an arm with this id.
    #[error("{arm} is unknown")]
    UnknownArm {
        /// Unknown id.
        arm: ArmId,
    },
    /// The arm was removed from the policy.
    #[error("{arm} has been removed")]
    RemovedArm {
        /// Id of the removed arm.
        arm: ArmId,
    },
    /// The policy already has an arm with this id.
    #[error("{arm} exists already")]
    ArmExists {
        /// Id that is already in use.
        arm: ArmId,
    },
    /// An arm occurs twice in a list that must not contain duplicates.
    #[error("{arm} is listed twice")]
    DuplicateArm {
        /// Id that occurs twice.
        arm: ArmId,
    },
    /// No arm is available: the policy has no arms, or the request excludes all of them.
    #[error("no arm is available: {arms} arms exist, none of them may be chosen")]
    NoArms {
        /// Number of arms of the policy.
        arms: usize,
    },
    /// The policy does not support this operation.
    #[error("this policy does not support {what}")]
    Unsupported {
        /// Operation that the policy does not support.
        what: &'static str,
    },
    /// The reward model of an [`OraclePolicy`](crate::policy::OraclePolicy), which the caller supplies, returned a
    /// prediction that is not finite or a width that is negative.
    #[error("the oracle gives {arm} the {what} {}, expected a finite number, widths not negative", Number(*value))]
    Oracle {
        /// Arm for which the model returned the value.
        arm: ArmId,
        /// Name of the returned quantity: `prediction` or `width`.
        what: &'static str,
        /// Value that the model returned.
        value: f64,
    },
    /// The policy scores arms by their features, and the request contains no features.
    #[error("the actions have no features: this policy needs {width} of each arm (`Request::featured`)")]
    NeedsFeatures {
        /// Number of features that the policy requires for each arm.
        width: usize,
    },
    /// A policy whose arms share one weight vector received a context without products of context and arm features.
    /// Such a context adds the same value to every score and cannot change the choice.
    #[error(
        "a context of length {context} cannot change which arm shared weights prefer: it adds the same to every score. Add \
         products of context and features (`TopK::with_interactions`, in settings `interactions`), or leave the context out"
    )]
    NeedsInteractions {
        /// Length of the context.
        context: usize,
    },
    /// The floor (minimum probability of each arm) exceeds 1/K, so that not all K available arms can have it.
    #[error("floor {} is above 1/{arms}: {arms} arms cannot all have it, lower it or offer fewer arms", Number(*floor))]
    Floor {
        /// Floor that was requested.
        floor: f64,
        /// Number of available arms.
        arms: usize,
    },
    /// The slate (list of arms to show at once) is larger than the number of available arms.
    #[error("cannot choose {wanted} arms: only {available} are available")]
    TooFewArms {
        /// Requested size of the slate.
        wanted: usize,
        /// Number of available arms.
        available: usize,
    },
    /// The weight of an observation is not positive and finite, or is outside 1e-100 to 1e100.
    #[error("weight {} is not allowed: it must be positive, from 1e-100 to 1e100", Number(*weight))]
    Weight {
        /// Invalid weight.
        weight: f64,
    },
    /// The reward is outside the range of the policy's reward model.
    #[error("reward {} is outside [{}, {}]", Number(*reward), Number(*low), Number(*high))]
    Reward {
        /// Reward that was passed.
        reward: f64,
        /// Smallest accepted reward.
        low: f64,
        /// Largest accepted reward.
        high: f64,
    },
    /// The decision is too old: `expire_decisions` was called on the policy after the decision was made.
    #[error("decision of epoch {made_in} is stale: decisions have been expired since, this is epoch {epoch}")]
    StaleDecision {
        /// Epoch in which the decision was made (number of earlier calls of `expire_decisions`).
        made_in: u64,
        /// Current epoch of the policy.
        epoch: u64,
    },
    /// The decision was made in a later epoch than the policy's current one (number of calls of `expire_decisions`).
    /// Either the policy was restored from an older save, or another policy made the decision.
    #[error("decision of epoch {made_in} is foreign: this policy has only reached epoch {epoch}")]
    ForeignDecision {
        /// Epoch in which the decision was made.
        made_in: u64,
        /// Current epoch of the policy.
        epoch: u64,
    },
    /// A counter, such as the number of updates, would exceed its limit.
    #[error("{what} is {count}: {added} more would exceed {limit}")]
    CountLimit {
        /// Name of the counter.
        what: &'static str,
        /// Current value of the counter.
        count: u64,
        /// Increment that was requested.
        added: u64,
        /// Largest accepted value of the counter.
        limit: u64,
    },
    /// Feedback was passed for a pinned arm. Pinned arms are set by the caller, and a policy does not learn from them.
    #[error("{arm} is pinned and takes no feedback")]
    PinnedArm {
        /// Id of the pinned arm.
        arm: ArmId,
    },
    /// The saved state belongs to another type of object.
    #[error("saved state is a {found:?}, expected a {expected:?}")]
    ForeignState {
        /// Type of the object to be loaded, such as `disjoint/ridge/ucb`.
        expected: String,
        /// Type of the object that was saved.
        found: String,
    },
    /// The saved state is in a binary format and was written by an older version, whose fields may be at other
    /// positions.
    #[error(
        "saved state has format version {found}, expected {required}: in a binary format fields may have moved; save it \
         as JSON with the version that wrote it"
    )]
    OlderState {
        /// Only format version that can be read from a binary format.
        required: u32,
        /// Format version of the saved state.
        found: u32,
    },
    /// The saved state was written by a newer version of this crate.
    #[error("saved state has format version {found}; versions up to {supported} can be read")]
    NewerState {
        /// Newest format version that can be read.
        supported: u32,
        /// Format version of the saved state.
        found: u32,
    },
    /// The saved state is inconsistent: a part of it is invalid.
    #[error("saved state is invalid: {what} {index}: {problem}")]
    InvalidState {
        /// Name of the invalid part.
        what: &'static str,
        /// Index of the part among parts with the same name (0 if there is only one).
        index: usize,
        /// Description of the problem.
        problem: String,
    },
    /// Two states cannot be merged or compared, because they differ in a setting or size.
    #[error("cannot combine: {what} is {ours} here and {theirs} there")]
    Unlike {
        /// Name of the setting or size that differs.
        what: &'static str,
        /// Value in the state on which the method was called.
        ours: f64,
        /// Value in the state that was passed.
        theirs: f64,
    },
    /// A matrix that must be positive definite is not positive definite.
    #[error("{what} is not positive definite: pivot {pivot} is {}", Number(*value))]
    NotPositiveDefinite {
        /// Name of the matrix.
        what: &'static str,
        /// Index of the first pivot of the factorisation that is not positive.
        pivot: usize,
        /// Value of the first pivot of the factorisation that is not positive.
        value: f64,
    },
    /// An observation cannot be removed from a precision matrix, because too few correct digits would remain.
    #[error(
        "{what} would lose too many digits: pivot {pivot} would keep {value:e} of its value, expected at least {least:e}"
    )]
    LostDigits {
        /// Name of the precision matrix.
        what: &'static str,
        /// Index of the first pivot of the matrix factorisation that would lose too many digits.
        pivot: usize,
        /// Fraction of this pivot of the matrix factorisation that would remain after the observation is removed.
        value: f64,
        /// Smallest accepted fraction of a pivot that may remain after an observation is removed.
        least: f64,
    },
    /// An iterative computation did not converge.
    #[error("{what} did not converge in {iterations} iterations")]
    NoConvergence {
        /// Name of the computation.
        what: &'static str,
        /// Number of iterations.
        iterations: usize,
    },
    /// A logged propensity (probability of the logged choice) is not in (0, 1].
    #[error("logged propensity {} of round {round} is outside (0, 1]", Number(*propensity))]
    Propensity {
        /// Index of the round in the log.
        round: usize,
        /// Invalid propensity.
        propensity: f64,
    },
    /// A value of a logged round is so large that estimates from it could overflow.
    #[error("{what} of logged round {round} is {value:e}: beyond ±{limit:e}, estimates could overflow")]
    LoggedRound {
        /// Index of the round in the log.
        round: usize,
        /// Name of the value. `weight` is the importance weight: the evaluated policy's probability of the logged
        /// action, divided by the logged propensity.
        what: &'static str,
        /// Value in the log.
        value: f64,
        /// Largest accepted magnitude.
        limit: f64,
    },
    /// No overlap: the evaluated policy never takes an action that was logged. The log therefore contains no evidence
    /// of its value.
    #[error(
        "no overlap at position {position}: importance weights sum up to {}, the log says nothing about this policy",
        Number(*weights)
    )]
    NoOverlap {
        /// Position in the slate; 0 for a single choice or a whole slate.
        position: usize,
        /// Sum of the importance weights over the log.
        weights: f64,
    },
    /// The logging policy never explored: each propensity is 1. Such a log has no rewards of other arms, so that no
    /// policy gradient can be learned from it.
    #[error(
        "the logging policy never explored: each of the {rows} rows has the propensity 1, so that the log does not say what \
         another arm would have earned"
    )]
    NeverExplored {
        /// Number of rows of the log.
        rows: usize,
    },
    /// An estimator needs propensities, and a round of the log does not have one.
    #[error(
        "{estimator} needs a propensity in every logged round: round {round} has none; the direct method needs none"
    )]
    NoPropensity {
        /// Name of the estimator.
        estimator: &'static str,
        /// First round without a propensity.
        round: usize,
    },
    /// A confidence interval was requested from an estimator with a bias. Such an interval would not account for the
    /// bias.
    #[error("{estimator} has a bias that an interval would not include: use IPS, SNIPS, DR or SNDR")]
    NoInterval {
        /// Name of the estimator.
        estimator: &'static str,
    },
    /// A policy was to be evaluated on log rows from which it learned. Its estimated value would be too high.
    #[error(
        "policy {policy:?} learned from logged round {round}, on which it is to be judged: judge it on other rows, or learn \
         it fold by fold (`Target::cross_fitted`)"
    )]
    LearnedFromLog {
        /// Name of the policy.
        policy: String,
        /// Index of the first log round from which the policy learned.
        round: usize,
    },
    /// An estimator needs predictions of a reward model, and a round of the log does not have one.
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
    /// The probabilities of the arms are not a probability distribution.
    #[error("the probabilities of {what} are not a distribution: {problem}")]
    NotADistribution {
        /// Name of the object that contains the invalid probabilities, such as a policy.
        what: &'static str,
        /// Description of the problem.
        problem: String,
    },
    /// Two objects have the same name, and names must be unique.
    #[error("each {what} needs a unique name: two are named {name:?}")]
    DuplicateName {
        /// Type of the objects, such as policies.
        what: &'static str,
        /// Name that occurs twice.
        name: String,
    },
    /// An error occurred while one round of a log was processed.
    #[error("logged round {round}: {source}")]
    InRound {
        /// Index of the round in the log.
        round: usize,
        /// Error that occurred.
        source: Box<Error>,
    },
    /// There are too few observations to compute an estimate.
    #[error("{what} needs at least {needed} observations, got {got}")]
    TooFewObservations {
        /// Quantity that was to be estimated.
        what: &'static str,
        /// Smallest sufficient number of observations.
        needed: usize,
        /// Actual number of observations.
        got: usize,
    },
}

impl Error {
    #[cfg(any(feature = "log", feature = "settings"))]
    pub(crate) fn file(path: &std::path::Path, error: &io::Error) -> Self {
        Self::File { path: path.to_owned(), kind: error.kind(), problem: error.to_string() }
    }
}

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Formats a number for error messages: with an exponent if it would otherwise have many zeros.
pub(crate) struct Number(pub(crate) f64);

impl std::fmt::Display for Number {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = self.0.abs();
        let plain = size == 0.0 || (1e-5..1e16).contains(&size) || !size.is_finite();
        if plain { write!(formatter, "{}", self.0) } else { write!(formatter, "{:e}", self.0) }
    }
}
