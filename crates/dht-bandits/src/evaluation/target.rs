//! Evaluated policies: their probabilities in each row of a log, and the rows from which they learned.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::known_arms::ask_of_known;
use super::outcome_model::in_round;
use crate::arm::ArmId;
use crate::decision::Request;
use crate::error::{Error, Result};
use crate::log::LoggedDecision;
use crate::policy::Policy;
use crate::validate::check_parameter;

type Probabilities<'a> = dyn Fn(&Request<'_>) -> Result<Vec<(ArmId, f64)>> + 'a;

/// Policy to be evaluated: its name, and its probability of each arm in a context.
///
/// A policy must not have learned from the rows on which it is evaluated, because its estimated value would be too
/// high. [`trained_on`](Self::trained_on) declares the rows from which it learned, so that an evaluation on them is an
/// error. [`cross_fitted`](Self::cross_fitted) lets a policy learn from the log itself: each row is evaluated by a copy
/// that learned from the other folds.
///
/// ```
/// use dht_bandits::evaluation::Target;
/// use dht_bandits::log::LoggedDecision;
/// use dht_bandits::{ArmId, Request};
///
/// let log = [LoggedDecision::new(vec![1.0], ArmId::new(0), 0.5, 1.0)];
/// let target = Target::new("mostly arm 1", |_: &Request<'_>| Ok(vec![(ArmId::new(0), 0.1), (ArmId::new(1), 0.9)]));
/// assert_eq!(target.probabilities(&log)?[0][1], (ArmId::new(1), 0.9));
/// # Ok::<(), dht_bandits::Error>(())
/// ```
pub struct Target<'a> {
    name: String,
    source: Source<'a>,
    /// Rows from which the policy learned, as stated with [`Target::trained_on`]; `None` if they are unknown.
    trained_on: Option<&'a [LoggedDecision]>,
    updates: u64,
}

enum Source<'a> {
    Function(Box<Probabilities<'a>>),
    /// Policy before learning, and number of folds. Copies of it learn from the log, fold by fold.
    Learner(Box<dyn Policy>, usize),
}

impl<'a> Target<'a> {
    /// Creates a target from a function that returns the probability of each arm for a request. Arms that it omits have
    /// probability 0.
    pub fn new(
        name: impl Into<String>,
        probabilities: impl Fn(&Request<'_>) -> Result<Vec<(ArmId, f64)>> + 'a,
    ) -> Self {
        let source = Source::Function(Box::new(probabilities));
        Self { name: name.into(), source, trained_on: None, updates: 0 }
    }

    /// Creates a target from a policy that does not learn during the evaluation, by its
    /// [propensities](Policy::propensities).
    ///
    /// Rows may list arms that the policy removed or never had. These arms have probability 0, and the policy chooses
    /// among the other arms of the row. The estimate is then unbiased for the policy's reward in these contexts with
    /// the arms that it has. A row with none of the policy's arms is an error, because the policy could not have
    /// chosen.
    pub fn from_policy(name: impl Into<String>, policy: &'a dyn Policy) -> Self {
        let target = Self::new(name, |request| propensities(policy, request));
        Self { updates: policy.version(), ..target }
    }

    /// Creates a target that always chooses one arm.
    pub fn always(arm: ArmId) -> Self {
        Self::new(format!("always {arm}"), move |_| Ok(vec![(arm, 1.0)]))
    }

    /// Creates a target that learns from the log on which it is evaluated, by cross-fitting. Row i belongs to fold i
    /// mod `folds`, and is evaluated by a copy of `policy` that has [learned](Policy::fit) the other folds. The
    /// estimate is the value of a policy that learned from (`folds` − 1)/`folds` of the log.
    ///
    /// # Errors
    /// * Fails if the policy has already learned, possibly from the same log.
    /// * Fails if there are fewer than two folds.
    pub fn cross_fitted(name: impl Into<String>, policy: &dyn Policy, folds: usize) -> Result<Self> {
        let updates = policy.version();
        check_parameter("number of rewards already learned", updates as f64, updates == 0, "0: begin untrained")?;
        check_parameter("folds", folds as f64, folds >= 2, "at least 2")?;
        let source = Source::Learner(policy.clone_box(), folds);
        Ok(Self { name: name.into(), source, trained_on: None, updates: 0 })
    }

    /// Declares the rows from which the policy learned. Pass an empty list if it learned from other data. An evaluation
    /// on one of these rows fails with [`Error::LearnedFromLog`].
    ///
    /// Rows are recognised by their memory address. Copies are recognised if 32 consecutive rows are also consecutive
    /// in the log. Shuffled copies are not recognised.
    #[must_use]
    pub fn trained_on(self, rows: &'a [LoggedDecision]) -> Self {
        Self { trained_on: Some(rows), ..self }
    }

    /// Name of the evaluated policy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of rewards that the policy learned, if it is unknown from which rows; otherwise 0.
    pub(super) fn unknown_updates(&self) -> u64 {
        if self.trained_on.is_some() { 0 } else { self.updates }
    }

    /// Returns an error if the log contains a row from which the policy learned.
    pub(super) fn check_unseen(&self, log: &[LoggedDecision]) -> Result<()> {
        match self.trained_on.and_then(|rows| first_shared(rows, log)) {
            Some(round) => Err(Error::LearnedFromLog { policy: self.name.clone(), round }),
            None => Ok(()),
        }
    }

    /// Prepares the policy for computing its probabilities in the rows of a log. For a cross-fitted target, one copy of
    /// the policy per fold learns the rows of the other folds.
    pub(super) fn prepare(&self, log: &[LoggedDecision]) -> Result<Prepared<'_, 'a>> {
        match &self.source {
            Source::Function(function) => Ok(Prepared::Function(function)),
            Source::Learner(policy, folds) => {
                let folds = *folds;
                check_parameter("folds", folds as f64, folds <= log.len(), "at most the number of rows")?;
                let fit = |fold| {
                    let mut learner = policy.clone();
                    let rows = log.iter().enumerate().filter(|(position, _)| position % folds != fold);
                    for (position, row) in rows {
                        learner.fit_row(row).map_err(|source| in_round(position, source))?;
                    }
                    Ok(learner)
                };
                Ok(Prepared::Folds((0..folds).map(fit).collect::<Result<_>>()?))
            }
        }
    }

    /// Probability of each arm in each row of a log, as one list per row. [`Evaluation::run`](super::Evaluation::run)
    /// saves memory by computing one row at a time.
    ///
    /// # Errors
    /// * Fails if the policy rejects a row. The error states the index of the round.
    /// * [`Error::LearnedFromLog`] if the policy learned from a row of the log.
    pub fn probabilities(&self, log: &[LoggedDecision]) -> Result<Vec<Vec<(ArmId, f64)>>> {
        self.check_unseen(log)?;
        let prepared = self.prepare(log)?;
        let of_row = |(round, row)| prepared.probabilities(round, row).map_err(|source| in_round(round, source));
        log.iter().enumerate().map(of_row).collect()
    }
}

/// Evaluated policy that is ready to compute its probabilities in the rows of one log.
pub(super) enum Prepared<'t, 'a> {
    Function(&'t Probabilities<'a>),
    Folds(Vec<Box<dyn Policy>>),
}

impl Prepared<'_, '_> {
    /// Probability of each arm in `row`, which has the index `position` in the log.
    pub(super) fn probabilities(&self, position: usize, row: &LoggedDecision) -> Result<Vec<(ArmId, f64)>> {
        let request = row.request()?;
        match self {
            Self::Function(function) => function(&request),
            Self::Folds(policies) => propensities(&*policies[position % policies.len()], &request),
        }
    }
}

fn propensities(policy: &dyn Policy, request: &Request<'_>) -> Result<Vec<(ArmId, f64)>> {
    let all = ask_of_known(request, |asked| policy.propensities(asked))?;
    Ok(all.into_iter().map(|entry| (entry.arm, entry.probability)).collect())
}

impl std::fmt::Debug for Target<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Number of consecutive rows that must agree before two logs are taken to share rows. Single rows may agree by chance,
/// if a log has few distinct contexts. Long runs do not: with two bits of information per row, runs of 32 rows agree by
/// chance once in 10¹⁹.
const WINDOW: usize = 32;

/// Index in `log` of the first row that also occurs in `rows`.
fn first_shared(rows: &[LoggedDecision], log: &[LoggedDecision]) -> Option<usize> {
    let ours = rows.as_ptr_range();
    if let Some(position) = log.iter().position(|row| ours.contains(&std::ptr::from_ref(row))) {
        return Some(position);
    }
    if rows.is_empty() || log.is_empty() {
        return None;
    }
    let width = WINDOW.min(rows.len()).min(log.len());
    let (rows, log): (Vec<u64>, Vec<u64>) = (rows.iter().map(hash).collect(), log.iter().map(hash).collect());
    let mut windows: HashSet<&[u64]> = HashSet::new();
    // A run that occurs twice in the rows identifies no position.
    let mut repeated: HashSet<&[u64]> = HashSet::new();
    for window in rows.windows(width) {
        if !windows.insert(window) {
            repeated.insert(window);
        }
    }
    // A short run identifies a position only if its rows differ.
    let is_place = |window: &[u64]| {
        let different: HashSet<&u64> = window.iter().collect();
        windows.contains(window) && !repeated.contains(window) && different.len() * 2 > window.len().min(8)
    };
    log.windows(width).position(is_place)
}

fn hash(row: &LoggedDecision) -> u64 {
    let mut hasher = DefaultHasher::new();
    let LoggedDecision { context, arm, propensity, reward, available, features, .. } = row;
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    (bits(context), arm, propensity.map(f64::to_bits), reward.to_bits()).hash(&mut hasher);
    (available, features.as_deref().map(bits)).hash(&mut hasher);
    hasher.finish()
}
