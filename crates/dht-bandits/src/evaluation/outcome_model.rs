//! Reward models for the doubly robust estimators, fitted so that no round is predicted by a model that saw it.

use super::estimate::{LoggedRound, Prediction};
use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::log::{LoggedDecision, check_distribution};
use crate::posterior::{FullLaplace, FullLaplaceOptions, Posterior, Ridge, RidgeOptions, sigmoid};
use crate::validate::{check_finite, check_parameter};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A model of the reward given context and arm: one regression an arm, with an intercept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeModel {
    /// Ridge regression of reward less mean reward.
    Ridge {
        /// The prior precision λ > 0.
        prior_precision: f64,
    },
    /// Logistic regression, for rewards in [0, 1]; one pass, each reward learned exactly under a Gaussian approximation
    /// of what was learned before ([`FullLaplace`]).
    Logistic {
        /// The prior precision λ > 0.
        prior_precision: f64,
    },
}

#[derive(Debug, Clone)]
enum Regressions {
    Ridge(Ridge),
    Logistic(FullLaplace),
}

/// A fitted [`OutcomeModel`].
#[derive(Debug, Clone)]
pub struct FittedOutcome {
    slots: BTreeMap<ArmId, usize>,
    regressions: Regressions,
    mean: f64,
    dimension: usize,
}

impl OutcomeModel {
    /// Fits the model to weighted rows. Weights are divided by their mean first, so that the prior keeps its strength;
    /// rows of weight 0 are left out.
    ///
    /// # Errors
    /// No row of positive weight; contexts of different lengths; values that the regression refuses, such as rewards
    /// outside [0, 1] for a logistic one.
    pub fn fit<'a>(&self, rows: impl Iterator<Item = (&'a LoggedDecision, f64)> + Clone) -> Result<FittedOutcome> {
        let (mut total, mut weighted, mut count, mut dimension) = (0.0, 0.0, 0.0, None);
        for (row, weight) in rows.clone().filter(|(_, weight)| *weight > 0.0) {
            total += weight;
            weighted += weight * row.reward;
            count += 1.0;
            dimension = dimension.or(Some(row.context.len()));
        }
        let Some(dimension) = dimension else {
            return Err(Error::TooFewObservations { what: "an outcome model", needed: 1, got: 0 });
        };
        let length = dimension + 1;
        let regressions = match *self {
            Self::Ridge { prior_precision } => {
                Regressions::Ridge(Ridge::empty(length, &RidgeOptions::with_prior_precision(prior_precision))?)
            }
            Self::Logistic { prior_precision } => {
                Regressions::Logistic(FullLaplace::empty(length, &FullLaplaceOptions { prior_precision })?)
            }
        };
        let mut fitted = FittedOutcome { slots: BTreeMap::new(), regressions, mean: weighted / total, dimension };
        let mut extended = Vec::with_capacity(length);
        for (row, weight) in rows {
            let weight = weight * count / total;
            // A weight so small leaves no trace beside the others.
            if weight > 1e-90 {
                extend(&row.context, dimension, &mut extended)?;
                fitted.learn(row.arm, &extended, row.reward, weight)?;
            }
        }
        Ok(fitted)
    }
}

/// The context with a 1 appended.
fn extend(context: &[f64], dimension: usize, out: &mut Vec<f64>) -> Result<()> {
    check_finite("context", context, dimension)?;
    out.clear();
    out.extend_from_slice(context);
    out.push(1.0);
    Ok(())
}

impl FittedOutcome {
    fn learn(&mut self, arm: ArmId, extended: &[f64], reward: f64, weight: f64) -> Result<()> {
        let next = self.slots.len();
        let slot = *self.slots.entry(arm).or_insert(next);
        match &mut self.regressions {
            Regressions::Ridge(ridge) => {
                if slot == next {
                    ridge.push_prior();
                }
                ridge.check_reward(reward)?;
                ridge.update(slot, extended, reward - self.mean, weight)
            }
            Regressions::Logistic(logistic) => {
                if slot == next {
                    logistic.push_prior();
                }
                logistic.check_reward(reward)?;
                logistic.update(slot, extended, reward, weight)
            }
        }
    }

    fn predict_extended(&self, arm: ArmId, extended: &[f64]) -> f64 {
        match (self.slots.get(&arm), &self.regressions) {
            (None, _) => self.mean,
            (Some(&slot), Regressions::Ridge(ridge)) => self.mean + ridge.score(slot, extended).mean,
            (Some(&slot), Regressions::Logistic(logistic)) => sigmoid(logistic.score(slot, extended).mean),
        }
    }

    /// The predicted reward of an arm; of one without data, the mean reward.
    ///
    /// # Errors
    /// A context of the wrong length or not finite.
    pub fn predict(&self, context: &[f64], arm: ArmId) -> Result<f64> {
        let mut extended = Vec::with_capacity(self.dimension + 1);
        extend(context, self.dimension, &mut extended)?;
        Ok(self.predict_extended(arm, &extended))
    }
}

/// How a reward model is fitted and applied to a log: in folds, each predicted by a model of the others (Chernozhukov
/// et al. 2018, "Double/debiased machine learning"). Without folds a doubly robust estimate would be biased by rounds
/// that the model has learned by heart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrossFit {
    /// The model.
    pub model: OutcomeModel,
    /// The number of folds, at least 2; row i belongs to fold i mod folds.
    pub folds: usize,
    /// Fit to the variance of the doubly robust estimate instead of to the squared error (MRDR; Farajtabar, Chow &
    /// Ghavamzadeh 2018): row i weighs π²(1 − p)/p². That is the diagonal of their quadratic form, and all of it where
    /// the evaluated policy is deterministic.
    pub more_robust: bool,
}

impl Default for CrossFit {
    fn default() -> Self {
        Self { model: OutcomeModel::Ridge { prior_precision: 1.0 }, folds: 5, more_robust: false }
    }
}

impl CrossFit {
    /// The rounds of a log with predictions, for a policy whose probabilities in row i are `targets[i]`.
    ///
    /// # Errors
    /// Fewer than two folds or rows than folds; as many targets as rows are needed; rows and targets that
    /// [`LoggedDecision::check`] or the model refuse.
    pub fn rounds(&self, log: &[LoggedDecision], targets: &[Vec<(ArmId, f64)>]) -> Result<Vec<LoggedRound>> {
        let folds = self.folds;
        check_parameter("folds", folds as f64, (2..=log.len()).contains(&folds), "from 2 to the number of rows")?;
        let mut rounds = rounds(log, targets)?;
        let weight = |position: usize| -> f64 {
            if !self.more_robust {
                return 1.0;
            }
            let LoggedRound { propensity, target, .. } = rounds[position];
            (target / propensity) * (target / propensity) * (1.0 - propensity)
        };
        let weights: Vec<f64> = (0..log.len()).map(weight).collect();
        let mut extended = Vec::new();
        for fold in 0..folds {
            let train = (0..log.len()).filter(|position| position % folds != fold);
            let fitted = self.model.fit(train.map(|position| (&log[position], weights[position])));
            // Where the logging policy leaves no choice nothing weighs anything: any model is as good.
            let fitted = match fitted {
                Err(Error::TooFewObservations { .. }) if self.more_robust => self
                    .model
                    .fit(log.iter().enumerate().filter(|(i, _)| i % folds != fold).map(|(_, row)| (row, 1.0)))?,
                other => other?,
            };
            for position in (fold..log.len()).step_by(folds) {
                extend(&log[position].context, fitted.dimension, &mut extended)
                    .map_err(|source| Error::InRound { round: position, source: Box::new(source) })?;
                let expected = (targets[position].iter())
                    .map(|(arm, probability)| probability * fitted.predict_extended(*arm, &extended))
                    .sum();
                let logged = fitted.predict_extended(log[position].arm, &extended);
                rounds[position].prediction = Some(Prediction { logged, expected });
            }
        }
        Ok(rounds)
    }
}

/// The rounds of a log without predictions, for a policy whose probabilities in row i are `targets[i]`. An arm counts as
/// unsupported where the row says that the logging policy gives it no probability or, where the row does not say, if the
/// log never chose it.
///
/// # Errors
/// Not as many targets as rows; rows that [`LoggedDecision::check`] refuses; targets that are no distributions.
pub fn rounds(log: &[LoggedDecision], targets: &[Vec<(ArmId, f64)>]) -> Result<Vec<LoggedRound>> {
    if targets.len() != log.len() {
        return Err(Error::Dimension { what: "targets", expected: log.len(), got: targets.len() });
    }
    let chosen: std::collections::BTreeSet<ArmId> = log.iter().map(|row| row.arm).collect();
    let mut rounds = Vec::with_capacity(log.len());
    for (position, (row, target)) in log.iter().zip(targets).enumerate() {
        row.check(position)?;
        check_distribution("the evaluated policy", target)
            .map_err(|source| Error::InRound { round: position, source: Box::new(source) })?;
        let supported = |arm: ArmId| match &row.probabilities {
            Some(all) => all.iter().any(|(other, probability)| *other == arm && *probability > 0.0),
            None => chosen.contains(&arm),
        };
        let of_arm = target.iter().find(|(arm, _)| *arm == row.arm).map_or(0.0, |entry| entry.1);
        let outside = target.iter().filter(|(arm, _)| !supported(*arm));
        let unsupported = outside.fold(0.0, |sum, (_, probability)| sum + probability);
        rounds.push(LoggedRound {
            unsupported: unsupported.min(1.0),
            ..LoggedRound::new(row.reward, row.propensity, of_arm.min(1.0))
        });
    }
    Ok(rounds)
}
