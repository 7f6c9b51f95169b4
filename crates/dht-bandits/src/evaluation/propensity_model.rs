//! Estimates of propensities that a log lacks.

use super::outcome_model::{FittedOutcome, OutcomeModel};
use crate::arm::ArmId;
use crate::decision::QUADRATURE_ERROR;
use crate::error::{Error, Result};
use crate::log::LoggedDecision;
use crate::validate::check_parameter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Model of the logging policy: the probability of each arm in a context, from the log's own choices. It is a logistic
/// regression for each arm with an intercept; in each row the probabilities of the available arms are divided by their
/// sum.
///
/// Estimates from these propensities are as good as the model. They say nothing of a policy that chooses by what the
/// context does not hold, such as a person's judgement, or that always chooses the same arm in a context.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PropensityModel {
    /// Prior precision λ of the regressions.
    pub prior_precision: f64,
}

impl Default for PropensityModel {
    /// λ = 1.
    fn default() -> Self {
        Self { prior_precision: 1.0 }
    }
}

impl PropensityModel {
    /// Fills in the propensities that the rows lack, with their standard errors
    /// ([`LoggedDecision::propensity_error`]). Each row's model was fitted on the other folds. Returns the number of rows
    /// filled in. Known propensities stay.
    ///
    /// The regressions take O(n·K·d²) for n rows, K arms and d values of a context.
    ///
    /// # Errors
    /// Fewer than two folds, or fewer rows than folds; rows that [`LoggedDecision::check`] refuses; contexts of different
    /// lengths; a prior precision that is not positive; arms with features, whose choice depends on more than the
    /// context. The log is unchanged then.
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
