//! Exit rules of the built-in routers, which have no parameters to learn.

use serde::{Deserialize, Serialize};

use crate::log_probabilities::{LogProbabilities, best_class};
use crate::outputs::Outputs;

/// Exit rule: a measure of the uncertainty of an exit's prediction. Each text stops at the first exit where the
/// uncertainty is below the threshold, which is the [speed](crate::DynamicModel::set_speed) of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeavingRule {
    /// Least confidence (Lewis and Gale 1994): 1 − max p, from 0 to 1 − 1/C, for the probabilities p of C classes. In
    /// multi-label tasks, p is the probability of a set of labels, the product over the labels of pₗ or (1 − pₗ). A
    /// text then stops when every label is confident.
    #[default]
    Confidence,
    /// Normalised entropy, as in FastBERT (Liu et al. 2020): −Σ p·ln p / ln C, from 0 to 1, for the probabilities p of
    /// C classes. In multi-label tasks, the mean over the labels, with C = 2.
    Entropy,
    /// Uncertainty 1/(1 + a), where a is the number of directly preceding exits that predict the same class or labels,
    /// as in PABEE (Zhou et al. 2020). It is ∞ if the previous exit has another prediction. A
    /// [`Patience`](super::Patience) of p exits equals any threshold above 1/(1 + p) and not above 1/p; a patience of 1
    /// equals any threshold above ½.
    Patience,
}

/// Largest 64-bit float below 1.
const BELOW_ONE: f64 = 1.0 - f64::EPSILON / 2.0;

/// Counter of consecutive exits that each predict the same as the exit before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Agreeing {
    /// Prediction of the last exit, encoded by [`answer_code`]; `None` before the first exit.
    pub(super) answer: Option<u64>,
    pub(super) exits: u32,
}

/// Encodes a prediction as an integer that a 64-bit float represents exactly: the class index, or a digest of the set
/// of labels.
pub(super) fn answer_code(outputs: Outputs, logs: &[f64]) -> u64 {
    const EXACT: u64 = (1 << 53) - 1;
    let decisions = logs.chunks_exact(outputs.alternatives());
    let add = |code: u64, logs| code.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(best_class(logs).0.into());
    decisions.fold(0, add) & EXACT
}

impl Agreeing {
    /// Updates the counter with `answer`, the prediction of the next exit, encoded by [`answer_code`].
    pub(super) fn then(self, answer: u64) -> Self {
        let exits = if self.answer == Some(answer) { self.exits + 1 } else { 0 };
        Self { answer: Some(answer), exits }
    }
}

impl LeavingRule {
    /// Computes the uncertainty of one text from the log-probabilities of a single exit.
    pub(super) fn uncertainty(self, outputs: Outputs, logs: &[f64]) -> f64 {
        let decisions = logs.chunks_exact(outputs.alternatives());
        match self {
            Self::Entropy => {
                let most = outputs.decisions() as f64 * (outputs.alternatives() as f64).ln();
                decisions.flatten().map(|log| -log.exp() * log).sum::<f64>() / most
            }
            Self::Confidence | Self::Patience => {
                let sure = decisions.map(|logs| best_class(logs).1).sum::<f64>().exp();
                // A set of many labels may be so unlikely that its probability is lost in rounding. At a threshold of 1
                // each text leaves.
                (1.0 - sure).min(BELOW_ONE)
            }
        }
    }

    /// Computes the uncertainty of each text at each stage (n-gram classifier or early exit). The lists are indexed by
    /// stage and text.
    pub(crate) fn uncertainties(self, stages: &[LogProbabilities]) -> Vec<Vec<f64>> {
        let mut agreeing = vec![Agreeing::default(); stages[0].len()];
        let outputs = stages[0].outputs();
        let mut of_row = |(row, logs): (usize, &[f64])| match self {
            Self::Confidence | Self::Entropy => self.uncertainty(outputs, logs),
            Self::Patience => {
                agreeing[row] = agreeing[row].then(answer_code(outputs, logs));
                match agreeing[row].exits {
                    0 => f64::INFINITY,
                    exits => 1.0 / f64::from(1 + exits),
                }
            }
        };
        stages.iter().map(|stage| stage.rows().enumerate().map(&mut of_row).collect()).collect()
    }
}
