//! Estimation of propensities for logs that do not contain them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::outcome_model::{FittedOutcome, OutcomeModel};
use crate::arm::ArmId;
use crate::decision::QUADRATURE_ERROR;
use crate::error::{Error, Result};
use crate::log::LoggedDecision;
use crate::validate::check_parameter;

/// Propensity model: estimates the logging policy's probability of each arm in a context from the logged choices. It is
/// one logistic regression with an intercept for each arm. In each row, the probabilities of the available arms are
/// divided by their sum.
///
/// Off-policy estimates from estimated propensities are only as good as the model. They are useless if the logging
/// policy used information that is not in the context, such as a person's judgement, or if it always chose the same arm
/// in the same context.
///
/// ```
/// use dht_bandits::ArmId;
/// use dht_bandits::evaluation::PropensityModel;
/// use dht_bandits::log::LoggedDecision;
///
/// // Three of four decisions chose arm 0, and nobody logged the propensities.
/// let mut log: Vec<_> = (0..200)
///     .map(|round| LoggedDecision::new(vec![1.0], ArmId::new(u64::from(round % 4 == 3)), None::<f64>, 1.0))
///     .collect();
/// assert_eq!(PropensityModel::default().fill(&mut log, 5)?, 200);
/// let propensity = log[0].propensity.unwrap_or(0.0);
/// assert!((propensity - 0.75).abs() < 0.05);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PropensityModel {
    /// Prior precision λ of the regression weights.
    pub prior_precision: f64,
}

impl Default for PropensityModel {
    /// Propensity model with the prior precision 1.
    fn default() -> Self {
        Self { prior_precision: 1.0 }
    }
}

impl PropensityModel {
    /// Estimates the missing propensities of log rows, with their standard errors
    /// ([`LoggedDecision::propensity_error`]). The model for a row is fitted on the other folds of the log. Returns the
    /// number of estimated propensities. Known propensities do not change. After an error the log is unchanged.
    ///
    /// The regressions take O(n·K·d²) time for n rows, K arms and contexts of length d.
    ///
    /// # Errors
    /// * Fails if there are fewer than two folds, or fewer rows than folds.
    /// * Fails if [`LoggedDecision::check`] rejects a row, or if contexts have different lengths.
    /// * Fails if the prior precision is not positive.
    /// * Fails if arms have features, because the choice then depends on more than the context.
    pub fn fill(&self, log: &mut [LoggedDecision], folds: usize) -> Result<usize> {
        check_parameter("folds", folds as f64, (2..=log.len()).contains(&folds), "from 2 to the number of rows")?;
        for (round, row) in log.iter().enumerate() {
            row.check(round)?;
            if row.features.is_some() {
                let source = Box::new(Error::Unsupported { what: "estimated propensities of arms with features" });
                return Err(Error::InRound { round, source });
            }
        }
        let every: BTreeSet<ArmId> = log.iter().map(|row| row.arm).collect();
        let every: Vec<ArmId> = every.into_iter().collect();
        let available = |row: &LoggedDecision| row.available.clone().unwrap_or_else(|| every.clone());
        let mut estimates = Vec::new();
        let mut input = Vec::new();
        for fold in 0..folds {
            let lacking = |position: &usize| position % folds == fold && log[*position].propensity.is_none();
            if !(0..log.len()).any(|position| lacking(&position)) {
                continue;
            }
            let model = OutcomeModel::Logistic { prior_precision: self.prior_precision };
            let mut fitted = FittedOutcome::empty(&model, (log[0].context.len(), 0), 0.0)?;
            for (round, row) in log.iter().enumerate().filter(|(position, _)| position % folds != fold) {
                let mut learn = || -> Result<()> {
                    fitted.input(&row.context, &[], &mut input)?;
                    available(row).into_iter().try_for_each(|arm| {
                        fitted.learn(arm, &input, f64::from(u8::from(arm == row.arm)), row.row_weight())
                    })
                };
                learn().map_err(|source| Error::InRound { round, source: Box::new(source) })?;
            }
            for position in (0..log.len()).filter(lacking) {
                let row = &log[position];
                let probability = |arm: ArmId, input: &mut Vec<f64>| -> Result<(f64, f64)> {
                    fitted.input(&row.context, &[], input)?;
                    Ok(fitted.probability(arm, input))
                };
                let mut sum = 0.0;
                for arm in available(row) {
                    sum += probability(arm, &mut input)?.0;
                }
                let (own, error) = probability(row.arm, &mut input)?;
                estimates.push((position, (own / sum).min(1.0), (error / sum).clamp(2.0 * QUADRATURE_ERROR, 1.0)));
            }
        }
        for (position, propensity, error) in &estimates {
            (log[*position].propensity, log[*position].propensity_error) = (Some(*propensity), *error);
        }
        Ok(estimates.len())
    }
}
