//! Reward models for the direct and doubly robust estimators. Cross-fitting ensures that no round is predicted by a
//! model that was trained on it.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::estimate::{LoggedRound, Prediction};
use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::log::{LoggedDecision, check_distribution};
use crate::posterior::{Beliefs, FullLaplace, FullLaplaceBeliefs, Ridge, RidgeBeliefs, sigmoid};
use crate::validate::{SPARSE, check_finite, check_parameter};

/// Reward model: predicts the reward from the context and the arm, for the direct and doubly robust estimators.
///
/// All models have an intercept and a prior precision λ > 0. Ridge regression fits the reward minus the mean reward.
/// Logistic regression, for rewards in [0, 1], takes one pass over the rows: each reward updates a Gaussian
/// approximation of the posterior ([`FullLaplace`]).
///
/// ```
/// use dht_bandits::ArmId;
/// use dht_bandits::evaluation::OutcomeModel;
/// use dht_bandits::log::LoggedDecision;
///
/// // The reward of arm 0 is its context.
/// let log: Vec<_> = (0..100)
///     .map(|round| {
///         let x = f64::from(round) / 100.0;
///         LoggedDecision::new(vec![x], ArmId::new(0), 1.0, x)
///     })
///     .collect();
/// let model = OutcomeModel::Ridge { prior_precision: 1e-6 };
/// let fitted = model.fit(log.iter().map(|row| (row, 1.0)))?;
/// assert!((fitted.predict(&log[40], ArmId::new(0))? - 0.4).abs() < 1e-3);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeModel {
    /// One ridge regression for each arm, on the context.
    Ridge {
        /// Prior precision λ of the weights, above 0.
        prior_precision: f64,
    },
    /// One logistic regression for each arm, on the context.
    Logistic {
        /// Prior precision λ of the weights, above 0.
        prior_precision: f64,
    },
    /// One ridge regression for all arms, on the context followed by the arm's features. This suits short-lived arms
    /// with few rows each. If products of context and features matter, they must be part of the features.
    SharedRidge {
        /// Prior precision λ of the weights, above 0.
        prior_precision: f64,
    },
    /// One logistic regression for all arms, on the context followed by the arm's features.
    SharedLogistic {
        /// Prior precision λ of the weights, above 0.
        prior_precision: f64,
    },
}

#[derive(Debug, Clone)]
enum Regressions {
    Ridge(RidgeBeliefs),
    Logistic(FullLaplaceBeliefs),
}

/// Assignment of arms to regressions: one for each arm, or one for all.
#[derive(Debug, Clone)]
enum Slots {
    PerArm(BTreeMap<ArmId, usize>),
    Shared,
}

/// Fitted [`OutcomeModel`] (reward model), which predicts rewards.
#[derive(Debug, Clone)]
pub struct FittedOutcome {
    slots: Slots,
    regressions: Regressions,
    mean: f64,
    /// Length of a context, and an arm's number of features. The number is 0 if each arm has its own regression.
    lengths: (usize, usize),
}

impl OutcomeModel {
    fn is_shared(&self) -> bool {
        matches!(self, Self::SharedRidge { .. } | Self::SharedLogistic { .. })
    }

    /// Fits the reward model to pairs of row and weight. Weights are first divided by their mean, so that their scale
    /// does not change the influence of the prior. Rows of weight 0 are left out.
    ///
    /// # Errors
    /// * Fails if no row has a positive weight.
    /// * Fails if contexts or features have different lengths, or if the arms share a model and a row has no features
    ///   of arms.
    /// * Fails if a value is invalid for the regression, such as a reward outside [0, 1] for a logistic regression.
    pub fn fit<'a>(&self, rows: impl Iterator<Item = (&'a LoggedDecision, f64)> + Clone) -> Result<FittedOutcome> {
        let (mut total, mut weighted, mut count, mut lengths) = (0.0, 0.0, 0.0, None);
        for (row, weight) in rows.clone().filter(|(_, weight)| *weight > 0.0) {
            total += weight;
            weighted += weight * row.reward;
            count += 1.0;
            if lengths.is_none() {
                let width = if self.is_shared() { features(row, row.arm)?.len() } else { 0 };
                lengths = Some((row.context.len(), width));
            }
        }
        let Some(lengths) = lengths else {
            return Err(Error::TooFewObservations { what: "an outcome model", needed: 1, got: 0 });
        };
        let mut fitted = FittedOutcome::empty(self, lengths, weighted / total)?;
        let mut input = Vec::with_capacity(lengths.0 + lengths.1 + 1);
        for (row, weight) in rows {
            let weight = weight * count / total;
            // A smaller weight has no effect beside the others.
            if weight > 1e-90 {
                fitted.input(&row.context, fitted.features(row, row.arm)?, &mut input)?;
                fitted.learn(row.arm, &input, row.reward, weight)?;
            }
        }
        Ok(fitted)
    }
}

fn features(row: &LoggedDecision, arm: ArmId) -> Result<&[f64]> {
    let missing = if row.features.is_none() { Error::NeedsFeatures { width: 1 } } else { Error::UnknownArm { arm } };
    row.features_of(arm).ok_or(missing)
}

impl Regressions {
    fn push_prior(&mut self) -> Result<()> {
        match self {
            Self::Ridge(ridge) => {
                ridge.reserve(1)?;
                ridge.push_prior();
            }
            Self::Logistic(logistic) => {
                logistic.reserve(1)?;
                logistic.push_prior();
            }
        }
        Ok(())
    }
}

impl FittedOutcome {
    /// Creates a reward model without data, which predicts `mean` for every arm. `lengths` are the lengths of a context
    /// and of an arm's features.
    ///
    /// # Errors
    /// Fails if a setting of the model is out of its range, or if memory cannot be allocated.
    pub(super) fn empty(model: &OutcomeModel, lengths: (usize, usize), mean: f64) -> Result<Self> {
        let length = lengths.0 + lengths.1 + 1;
        let mut regressions = match *model {
            OutcomeModel::Ridge { prior_precision } | OutcomeModel::SharedRidge { prior_precision } => {
                Regressions::Ridge(RidgeBeliefs::empty(length, &Ridge::new(prior_precision))?)
            }
            OutcomeModel::Logistic { prior_precision } | OutcomeModel::SharedLogistic { prior_precision } => {
                Regressions::Logistic(FullLaplaceBeliefs::empty(length, &FullLaplace { prior_precision })?)
            }
        };
        let slots = if model.is_shared() {
            regressions.push_prior()?;
            Slots::Shared
        } else {
            Slots::PerArm(BTreeMap::new())
        };
        Ok(Self { slots, regressions, mean, lengths })
    }

    /// Features of an arm in a log row. Empty if each arm has its own regression, which does not use them.
    fn features<'a>(&self, row: &'a LoggedDecision, arm: ArmId) -> Result<&'a [f64]> {
        match self.slots {
            Slots::PerArm(_) => Ok(&[]),
            Slots::Shared => features(row, arm),
        }
    }

    /// Writes the input vector of a regression to `out`: context, features, and a 1 for the intercept.
    pub(super) fn input(&self, context: &[f64], features: &[f64], out: &mut Vec<f64>) -> Result<()> {
        if context.first() == Some(&SPARSE) || features.first() == Some(&SPARSE) {
            let problem =
                "model: no reward model reads sparse contexts, leave it out (`EvaluationSettings::with_model`)";
            return Err(Error::Settings { problem: problem.to_owned() });
        }
        check_finite("context", context, self.lengths.0)?;
        check_finite("features of an arm", features, self.lengths.1)?;
        out.clear();
        out.extend_from_slice(context);
        out.extend_from_slice(features);
        out.push(1.0);
        Ok(())
    }

    pub(super) fn learn(&mut self, arm: ArmId, input: &[f64], reward: f64, weight: f64) -> Result<()> {
        let slot = match &mut self.slots {
            Slots::Shared => 0,
            Slots::PerArm(slots) => {
                let next = slots.len();
                match slots.entry(arm) {
                    Entry::Occupied(slot) => *slot.get(),
                    Entry::Vacant(new) => {
                        self.regressions.push_prior()?;
                        *new.insert(next)
                    }
                }
            }
        };
        match &mut self.regressions {
            Regressions::Ridge(ridge) => {
                ridge.check_reward(reward)?;
                ridge.update(slot, input, reward - self.mean, weight)
            }
            Regressions::Logistic(logistic) => {
                logistic.check_reward(reward)?;
                logistic.update(slot, input, reward, weight)
            }
        }
    }

    fn slot(&self, arm: ArmId) -> Option<usize> {
        match &self.slots {
            Slots::Shared => Some(0),
            Slots::PerArm(slots) => slots.get(&arm).copied(),
        }
    }

    /// Predicted probability of an arm by logistic regression, with its standard error by the delta method. The
    /// probability is ½ for an arm without data.
    pub(super) fn probability(&self, arm: ArmId, input: &[f64]) -> (f64, f64) {
        match (self.slot(arm), &self.regressions) {
            (Some(slot), Regressions::Logistic(logistic)) => {
                let score = logistic.score(slot, input);
                let probability = sigmoid(score.mean);
                (probability, probability * (1.0 - probability) * score.width)
            }
            _ => (0.5, 0.5),
        }
    }

    fn predict_input(&self, arm: ArmId, input: &[f64]) -> f64 {
        match (self.slot(arm), &self.regressions) {
            (None, _) => self.mean,
            (Some(slot), Regressions::Ridge(ridge)) => self.mean + ridge.score(slot, input).mean,
            (Some(slot), Regressions::Logistic(logistic)) => sigmoid(logistic.score(slot, input).mean),
        }
    }

    /// Predicts the reward of any available arm in the context of a row. For an arm without data the prediction is the
    /// mean reward.
    ///
    /// # Errors
    /// * Fails if the context has the wrong length or is not finite.
    /// * Fails if the arms share a model and the row does not have the features of the arm.
    pub fn predict(&self, row: &LoggedDecision, arm: ArmId) -> Result<f64> {
        let mut input = Vec::with_capacity(self.lengths.0 + self.lengths.1 + 1);
        self.predict_with(row, arm, &mut input)
    }

    fn predict_with(&self, row: &LoggedDecision, arm: ArmId, input: &mut Vec<f64>) -> Result<f64> {
        self.input(&row.context, self.features(row, arm)?, input)?;
        Ok(self.predict_input(arm, input))
    }
}

impl Default for OutcomeModel {
    /// Ridge regression on the context for each arm, with the prior precision 1.
    fn default() -> Self {
        Self::Ridge { prior_precision: 1.0 }
    }
}

impl OutcomeModel {
    /// Converts the rows of a log to rounds for off-policy estimators, with predictions of this reward model.
    /// `targets[i]` lists the evaluated policy's probabilities of the arms in row i.
    ///
    /// The model is cross-fitted (Chernozhukov et al. 2018, "Double/debiased machine learning"). The log is divided
    /// into folds: row i belongs to fold i mod `folds`. The rows of one fold are predicted by a model that was fitted
    /// on the other folds. Otherwise the model could memorise rounds, which would bias a doubly robust estimate.
    ///
    /// # Errors
    /// * Fails if there are fewer than two folds, or fewer rows than folds.
    /// * Fails if the number of targets differs from the number of rows.
    /// * Fails if [`LoggedDecision::check`] or the model rejects a row or its target.
    pub fn cross_fit(
        self,
        folds: usize,
        log: &[LoggedDecision],
        targets: &[Vec<(ArmId, f64)>],
    ) -> Result<Vec<LoggedRound>> {
        CrossFit { model: self, folds, more_robust: false }.rounds(log, targets)
    }

    /// Estimates the reward of every arm in every row, so that a policy can learn from the log by regression (Dudík,
    /// Langford & Li 2011). A logged row with context x, reward r and propensity p becomes one row for each of the
    /// `arms` that were available. The new row of arm a has the doubly robust reward q(x, a) + (r − q(x, a))/p if a is
    /// the logged arm, and q(x, a) otherwise. q is this reward model, cross-fitted as in
    /// [`cross_fit`](Self::cross_fit).
    ///
    /// Any policy can learn the new rows by [`fit`](crate::policy::Policy::fit), as can an
    /// [`Oracle`](crate::policy::Oracle) that wraps a custom regression. Estimated rewards may be outside the range of
    /// the logged rewards, so that the policy needs a model of real-valued rewards.
    ///
    /// # Errors
    /// * Fails as [`cross_fit`](Self::cross_fit) does.
    /// * [`Error::NoPropensity`] if a row has no propensity.
    /// * [`Error::NeverExplored`] if every row has the propensity 1.
    pub fn estimate_rewards(self, folds: usize, log: &[LoggedDecision], arms: &[ArmId]) -> Result<Vec<LoggedDecision>> {
        let estimator = "an estimate of every arm's reward";
        let propensity = |round: usize| log[round].propensity.ok_or(Error::NoPropensity { estimator, round });
        let propensities = (0..log.len()).map(propensity).collect::<Result<Vec<_>>>()?;
        if !log.is_empty() && propensities.iter().all(|propensity| *propensity >= 1.0 - 1e-9) {
            return Err(Error::NeverExplored { rows: log.len() });
        }
        log.iter().enumerate().try_for_each(|(round, row)| row.check(round))?;
        let models = CrossFit { model: self, folds, more_robust: false }.fit(log, &[])?;
        let (mut rows, mut input) = (Vec::new(), Vec::new());
        for (round, (row, propensity)) in log.iter().zip(propensities).enumerate() {
            for &arm in row.available.as_deref().unwrap_or(arms) {
                let predicted = models[round % folds].predict_with(row, arm, &mut input);
                let mut reward = predicted.map_err(|source| in_round(round, source))?;
                if arm == row.arm {
                    reward += (row.reward - reward) / propensity;
                }
                rows.push(LoggedDecision { arm, reward, propensity: None, probabilities: None, ..row.clone() });
            }
        }
        Ok(rows)
    }

    /// Converts the rows of a log to rounds for off-policy estimators, with predictions of a reward model that
    /// minimises the variance of the doubly robust estimate (MRDR; Farajtabar, Chow & Ghavamzadeh 2018).
    ///
    /// The function is otherwise like [`cross_fit`](Self::cross_fit), whose model minimises the squared error. Here a
    /// row has the weight π²(1 − p)/p² in the fit, where p is the propensity of the logged arm and π its probability
    /// under the evaluated policy. This is the diagonal of the authors' quadratic form. For a deterministic evaluated
    /// policy it is the whole form.
    ///
    /// # Errors
    /// * Fails as [`cross_fit`](Self::cross_fit) does.
    /// * [`Error::NoPropensity`] if a row has no propensity.
    pub fn cross_fit_mrdr(
        self,
        folds: usize,
        log: &[LoggedDecision],
        targets: &[Vec<(ArmId, f64)>],
    ) -> Result<Vec<LoggedRound>> {
        CrossFit { model: self, folds, more_robust: true }.rounds(log, targets)
    }
}

/// Cross-fitting of a reward model. With `more_robust`, the fit minimises the variance of the doubly robust estimate
/// (MRDR), otherwise the squared error.
#[derive(Debug, Clone, Copy)]
pub(super) struct CrossFit {
    pub(super) model: OutcomeModel,
    pub(super) folds: usize,
    pub(super) more_robust: bool,
}

impl CrossFit {
    fn rounds(&self, log: &[LoggedDecision], targets: &[Vec<(ArmId, f64)>]) -> Result<Vec<LoggedRound>> {
        check_targets(log, targets)?;
        let target = |position: usize| Ok(Cow::Borrowed(&targets[position][..]));
        let rounds = rounds_for(log, &target)?;
        let models = self.fit(log, &rounds)?;
        self.predict(&models, log, rounds, &target)
    }

    /// Fits one model per fold, on the rows of the other folds. If the fit minimises the variance of the doubly robust
    /// estimate (MRDR), its row weights are computed from `rounds`.
    pub(super) fn fit(&self, log: &[LoggedDecision], rounds: &[LoggedRound]) -> Result<Vec<FittedOutcome>> {
        let folds = self.folds;
        check_parameter("folds", folds as f64, (2..=log.len()).contains(&folds), "from 2 to the number of rows")?;
        let weight = |position: usize| -> Result<f64> {
            let row_weight = log[position].row_weight();
            if !self.more_robust {
                return Ok(row_weight);
            }
            let LoggedRound { propensity, target, .. } = rounds[position];
            let propensity = propensity.ok_or(Error::NoPropensity { estimator: "MRDR", round: position })?;
            Ok((target / propensity) * (target / propensity) * (1.0 - propensity) * row_weight)
        };
        let weights = (0..log.len()).map(weight).collect::<Result<Vec<f64>>>()?;
        let fit = |fold: usize| {
            let train = (0..log.len()).filter(|position| position % folds != fold);
            match self.model.fit(train.clone().map(|position| (&log[position], weights[position]))) {
                // If the logging policy has no choice, all weights of MRDR are 0 and every model is equally good.
                Err(Error::TooFewObservations { .. }) if self.more_robust => {
                    self.model.fit(train.map(|position| (&log[position], log[position].row_weight())))
                }
                fitted => fitted,
            }
        };
        (0..folds).map(fit).collect()
    }

    /// Adds predictions to the rounds. Each round is predicted by the model of its fold, which was fitted on other
    /// folds.
    pub(super) fn predict<'a>(
        &self,
        models: &[FittedOutcome],
        log: &[LoggedDecision],
        mut rounds: Vec<LoggedRound>,
        target: &impl Fn(usize) -> Result<Probabilities<'a>>,
    ) -> Result<Vec<LoggedRound>> {
        let mut input = Vec::new();
        for (position, (row, round)) in log.iter().zip(&mut rounds).enumerate() {
            let model = &models[position % self.folds];
            let mut prediction = || -> Result<Prediction> {
                let mut expected = 0.0;
                for (arm, probability) in target(position)?.iter().filter(|(_, probability)| *probability > 0.0) {
                    expected += probability * model.predict_with(row, *arm, &mut input)?;
                }
                Ok(Prediction { logged: model.predict_with(row, row.arm, &mut input)?, expected })
            };
            round.prediction = Some(prediction().map_err(|source| in_round(position, source))?);
        }
        Ok(rounds)
    }
}

/// Probability of each arm in one log row, under the evaluated policy.
pub(super) type Probabilities<'a> = Cow<'a, [(ArmId, f64)]>;

pub(super) fn in_round(round: usize, source: Error) -> Error {
    match source {
        Error::InRound { .. } => source,
        source => Error::InRound { round, source: Box::new(source) },
    }
}

fn check_targets(log: &[LoggedDecision], targets: &[Vec<(ArmId, f64)>]) -> Result<()> {
    let (expected, got) = (log.len(), targets.len());
    if got == expected { Ok(()) } else { Err(Error::Dimension { what: "targets", expected, got }) }
}

/// Threshold for arms that a log never chose. Such an arm counts as unsupported if a uniform policy would have chosen
/// it at least this often on average. The probability that a uniform policy would never choose such an arm is at most
/// e⁻³ = .05.
const EXPECTED_CHOICES: f64 = 3.0;

/// Arms that a uniform policy would often have chosen and the log never chose, in ascending order.
fn never_chosen(log: &[LoggedDecision], chosen: &BTreeSet<ArmId>) -> Vec<ArmId> {
    let mut expected: BTreeMap<ArmId, f64> = BTreeMap::new();
    for row in log.iter().filter(|row| row.probabilities.is_none()) {
        let arms = row.available.as_deref().unwrap_or_default();
        for arm in arms.iter().filter(|arm| !chosen.contains(arm)) {
            *expected.entry(*arm).or_default() += 1.0 / arms.len() as f64;
        }
    }
    expected.retain(|_, count| *count >= EXPECTED_CHOICES);
    expected.into_keys().collect()
}

impl LoggedRound {
    /// Converts the rows of a log to rounds for off-policy estimators, without predictions of a reward model.
    /// `targets[i]` lists the evaluated policy's probabilities of the arms in row i.
    ///
    /// An arm is unsupported in a row if it was not available, or if the logged probabilities give it 0. In a row
    /// without logged probabilities, an arm is unsupported if the whole log never chose it, although a uniform policy
    /// would have chosen it three times on average. If each row has arms with new ids, support is unknown.
    ///
    /// # Errors
    /// * Fails if the number of targets differs from the number of rows.
    /// * Fails if [`LoggedDecision::check`] rejects a row, or if the probabilities of a target are not a distribution.
    pub fn from_log(log: &[LoggedDecision], targets: &[Vec<(ArmId, f64)>]) -> Result<Vec<Self>> {
        check_targets(log, targets)?;
        rounds_for(log, &|position: usize| Ok(Cow::Borrowed(&targets[position][..])))
    }
}

/// Creates rounds as [`LoggedRound::from_log`] does. `target` computes the probabilities of one row at a time, so that
/// they are not all in memory.
pub(super) fn rounds_for<'a>(
    log: &[LoggedDecision],
    target: &impl Fn(usize) -> Result<Probabilities<'a>>,
) -> Result<Vec<LoggedRound>> {
    let chosen: BTreeSet<ArmId> = log.iter().map(|row| row.arm).collect();
    let never = never_chosen(log, &chosen);
    let (mut rounds, mut supported) = (Vec::with_capacity(log.len()), Vec::new());
    for (position, row) in log.iter().enumerate() {
        row.check(position)?;
        let target = target(position).map_err(|source| in_round(position, source))?;
        check_distribution("the evaluated policy", &target).map_err(|source| in_round(position, source))?;
        supported.clear();
        match (&row.probabilities, &row.available) {
            (Some(all), _) => supported.extend(all.iter().filter(|entry| entry.1 > 0.0).map(|entry| entry.0)),
            (None, Some(arms)) => supported.extend(arms.iter().filter(|arm| never.binary_search(arm).is_err())),
            (None, None) => {}
        }
        supported.sort_unstable();
        let everything = row.probabilities.is_none() && row.available.is_none();
        let supported = |arm: &ArmId| {
            if everything { chosen.contains(arm) } else { supported.binary_search(arm).is_ok() }
        };
        let of_arm = target.iter().find(|(arm, _)| *arm == row.arm).map_or(0.0, |entry| entry.1);
        let outside = target.iter().filter(|(arm, _)| !supported(arm));
        let unsupported = outside.fold(0.0, |sum, (_, probability)| sum + probability);
        rounds.push(LoggedRound {
            unsupported: unsupported.min(1.0),
            drop_probability: row.drop_probability,
            ..LoggedRound::new(row.reward, row.propensity, of_arm.min(1.0))
        });
    }
    Ok(rounds)
}
