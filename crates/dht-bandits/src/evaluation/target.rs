//! Policies that are evaluated: their probabilities in each row of a log, and the rows from which they learned.

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

/// Policy that is evaluated: its name, and its probability of each arm in a context.
///
/// A policy must not have learned from the rows on which it is evaluated, since its estimated value on such rows is too
/// high. [`trained_on`](Self::trained_on) names the rows from which it learned; an evaluation on one of these rows is
/// refused. [`cross_fitted`](Self::cross_fitted) learns from and evaluates on different folds of one log.
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
    /// Rows from which the policy learned, if known.
    trained_on: Option<&'a [LoggedDecision]>,
    /// Number of rewards that the policy has learned.
    updates: u64,
}

/// Source of the probabilities.
enum Source<'a> {
    Function(Box<Probabilities<'a>>),
    /// Policy that learns each row's probabilities from the other folds.
    Learner(Box<dyn Policy>, usize),
}

impl<'a> Target<'a> {
    /// Creates a target from a function that returns its probabilities. Omitted arms have probability 0.
    pub fn new(
        name: impl Into<String>,
        probabilities: impl Fn(&Request<'_>) -> Result<Vec<(ArmId, f64)>> + 'a,
    ) -> Self {
        let source = Source::Function(Box::new(probabilities));
        Self { name: name.into(), source, trained_on: None, updates: 0 }
    }

    /// Creates a target from a policy's [propensities](Policy::propensities), without learning.
    ///
    /// A policy never chooses arms that a row lists and the policy lacks, because it removed them or never had them. It
    /// is asked about the arms that it has, and the others have probability 0. The estimate is unbiased for the
    /// policy's reward in these contexts with its arms, and gives no weight to arms that the log does not support. A
    /// row with none of the policy's arms is refused, since the policy could not have answered.
    pub fn from_policy(name: impl Into<String>, policy: &'a dyn Policy) -> Self {
        let target = Self::new(name, |request| propensities(policy, request));
        Self { updates: policy.version(), ..target }
    }

    /// Creates the policy that always plays one arm.
    pub fn always(arm: ArmId) -> Self {
        Self::new(format!("always {arm}"), move |_| Ok(vec![(arm, 1.0)]))
    }

    /// Creates a target that learns, fold by fold, from the log on which it is evaluated. Row i is in fold i mod
    /// `folds`. Its probabilities are those of a copy of `policy` that has [learned](Policy::fit) the other folds. The
    /// estimate is the value of a policy that learns from (`folds` − 1)/`folds` of the log.
    ///
    /// # Errors
    /// * Fails if the policy has already learned, since it may know the log.
    /// * Fails if there are fewer than two folds.
    pub fn cross_fitted(name: impl Into<String>, policy: &dyn Policy, folds: usize) -> Result<Self> {
        let updates = policy.version();
        check_parameter("number of rewards already learned", updates as f64, updates == 0, "0: begin untrained")?;
        check_parameter("folds", folds as f64, folds >= 2, "at least 2")?;
        let source = Source::Learner(policy.clone_box(), folds);
        Ok(Self { name: name.into(), source, trained_on: None, updates: 0 })
    }

    /// States from which rows the policy learned. The list is empty for a policy that learned elsewhere. An evaluation
    /// on one of these rows is refused ([`Error::LearnedFromLog`]).
    ///
    /// Rows are recognised if they lie in the same memory. Copies are recognised by their content: 32 consecutive rows
    /// that are also consecutive in the log. Shuffled copies are not recognised.
    #[must_use]
    pub fn trained_on(self, rows: &'a [LoggedDecision]) -> Self {
        Self { trained_on: Some(rows), ..self }
    }

    /// Name of the target.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of rewards that the policy learned from unknown rows.
    pub(super) fn unknown_updates(&self) -> u64 {
        if self.trained_on.is_some() { 0 } else { self.updates }
    }

    /// Refuses a log with a row from which the policy learned.
    pub(super) fn check_unseen(&self, log: &[LoggedDecision]) -> Result<()> {
        match self.trained_on.and_then(|rows| first_shared(rows, log)) {
            Some(round) => Err(Error::LearnedFromLog { policy: self.name.clone(), round }),
            None => Ok(()),
        }
    }

    /// Prepares the target for a log. A cross-fitted target learns the log fold by fold. The result returns the
    /// target's probabilities in each row.
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

    /// Probabilities of the target in each row of a log: (number of rows) × (number of arms) values.
    /// [`Evaluation::run`](super::Evaluation::run) asks row by row instead.
    ///
    /// # Errors
    /// * Errors of the policy, with the number of the round.
    /// * [`Error::LearnedFromLog`] if the policy learned from a row of the log.
    pub fn probabilities(&self, log: &[LoggedDecision]) -> Result<Vec<Vec<(ArmId, f64)>>> {
        self.check_unseen(log)?;
        let prepared = self.prepare(log)?;
        let of_row = |(round, row)| prepared.probabilities(round, row).map_err(|source| in_round(round, source));
        log.iter().enumerate().map(of_row).collect()
    }
}

/// Target that is ready to return its probabilities in the rows of one log.
pub(super) enum Prepared<'t, 'a> {
    Function(&'t Probabilities<'a>),
    Folds(Vec<Box<dyn Policy>>),
}

impl Prepared<'_, '_> {
    /// Probabilities in the row at this position of the log.
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

/// Number of consecutive rows that identify a position in a log. Single rows with few different contexts repeat, but
/// long runs of them do not: at two bits per row, runs of 32 rows agree by chance once in 10¹⁹.
const WINDOW: usize = 32;

/// Position in `log` of the first row that is also among `rows`.
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

/// Hash of all values of a row.
fn hash(row: &LoggedDecision) -> u64 {
    let mut hasher = DefaultHasher::new();
    let LoggedDecision { context, arm, propensity, reward, available, features, .. } = row;
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    (bits(context), arm, propensity.map(f64::to_bits), reward.to_bits()).hash(&mut hasher);
    (available, features.as_deref().map(bits)).hash(&mut hasher);
    hasher.finish()
}
