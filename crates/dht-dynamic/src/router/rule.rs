//! Rules of routers that do not learn.

use serde::{Deserialize, Serialize};

use crate::log_probabilities::{LogProbabilities, best_class};

/// Uncertainty measure of an exit's answer. A text leaves at the first exit where the uncertainty is below the
/// threshold, which is the [speed](crate::DynamicModel::set_speed) of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeavingRule {
    /// 1 − max p, the "least confidence" of Lewis and Gale (1994): 0 to 1 − 1/C.
    #[default]
    Confidence,
    /// −Σ p·ln p / ln C of the C probabilities, as in FastBERT (Liu et al. 2020): 0 to 1.
    Entropy,
    /// 1/(1 + a), where a is the number of exits directly before this one that predict the same class, as in PABEE
    /// (Zhou et al. 2020). It is ∞ if the previous exit predicts another class. A [`Patience`](super::Patience) of p
    /// equals any threshold above 1/(1 + p) and not above 1/p; a patience of 1 equals any threshold above ½.
    Patience,
}

/// Number of consecutive exits, up to the current one, that predict the same class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Agreeing {
    /// The class of the last exit; `None` before the first exit.
    pub(super) class: Option<u32>,
    pub(super) exits: u32,
}

impl Agreeing {
    /// Updates the count with a further exit, which predicts `class`.
    pub(super) fn then(self, class: u32) -> Self {
        let exits = if self.class == Some(class) { self.exits + 1 } else { 0 };
        Self { class: Some(class), exits }
    }
}

impl LeavingRule {
    /// The uncertainty of one text, from the ln p of its classes, for a rule that depends on one exit only.
    pub(super) fn uncertainty(self, logs: &[f64]) -> f64 {
        match self {
            Self::Entropy => logs.iter().map(|log| -log.exp() * log).sum::<f64>() / (logs.len() as f64).ln(),
            Self::Confidence | Self::Patience => 1.0 - best_class(logs).1.exp(),
        }
    }

    /// The uncertainty of each row, by stage.
    pub(crate) fn uncertainties(self, stages: &[LogProbabilities]) -> Vec<Vec<f64>> {
        let mut agreeing = vec![Agreeing::default(); stages[0].len()];
        let mut of_row = |(row, logs): (usize, &[f64])| match self {
            Self::Confidence | Self::Entropy => self.uncertainty(logs),
            Self::Patience => {
                agreeing[row] = agreeing[row].then(best_class(logs).0);
                match agreeing[row].exits {
                    0 => f64::INFINITY,
                    exits => 1.0 / f64::from(1 + exits),
                }
            }
        };
        stages.iter().map(|stage| stage.rows().enumerate().map(&mut of_row).collect()).collect()
    }
}
