//! The probabilities of a stage, mended for the texts that come now.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::linear_model::{Function, log_softmax, minimize};
use crate::model::best_class;

/// Bias-corrected temperature scaling (Alexandari, Kundaje and Shrikumar 2020): the score of a class is a·ln p + b, with one scale a for
/// all classes and a bias b for each. Where texts drift, the balance of classes and the confidence of a model drift first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassScaling {
    /// a, the reciprocal of the temperature.
    pub scale: f64,
    /// b, by class.
    pub biases: Vec<f64>,
}

/// Where a fit ends: ‖∇‖₂ of the mean objective.
const TOLERANCE: f64 = 1e-7;
const MOST_STEPS: u64 = 100;

/// (Σᵢ lossᵢ + ½·k·(a − 1)² + ½·m·‖b‖²) / rows, at (a, b).
struct ScaledLoss<'a> {
    rows: &'a [(&'a [f64], u32)],
    precisions: [f64; 2],
}

impl Function for ScaledLoss<'_> {
    fn flops(&self) -> u64 {
        4 * self.rows.iter().map(|(logs, _)| logs.len() as u64).sum::<u64>()
    }

    fn value_and_gradient(&self, at: &[f64]) -> (f64, Vec<f64>) {
        let (mut value, mut gradient) = (0.0, vec![0.0; at.len()]);
        for (logs, label) in self.rows {
            let mut scores: Vec<f64> = logs.iter().zip(&at[1..]).map(|(log, bias)| at[0] * log + bias).collect();
            log_softmax(&mut scores);
            value -= scores[*label as usize];
            for (class, (score, log)) in scores.iter().zip(*logs).enumerate() {
                let residual = score.exp() - if class == *label as usize { 1.0 } else { 0.0 };
                gradient[0] += residual * log;
                gradient[1 + class] += residual;
            }
        }
        let rows = self.rows.len() as f64;
        for (index, (gradient, value_at)) in gradient.iter_mut().zip(at).enumerate() {
            let (precision, from) =
                if index == 0 { (self.precisions[0], value_at - 1.0) } else { (self.precisions[1], *value_at) };
            value += 0.5 * precision * from * from;
            *gradient = (*gradient + precision * from) / rows;
        }
        (value / rows, gradient)
    }
}

impl ClassScaling {
    /// That which changes nothing.
    pub fn identity(classes: usize) -> Self {
        Self { scale: 1.0, biases: vec![0.0; classes] }
    }

    /// The scaling of rows of ln p with their labels that minimises Σ loss + ½·k·(a − 1)² + ½·m·‖b‖² for the precisions (k, m): without rows it is the
    /// [identity](Self::identity). All ln p have to be finite.
    ///
    /// # Errors
    /// [`Error::Setting`] for rows of other classes, labels that are none, and precisions that are not above 0.
    pub fn fit(classes: usize, rows: &[(&[f64], u32)], precisions: [f64; 2]) -> Result<Self> {
        if let Some(got) = precisions.into_iter().find(|precision| !(precision.is_finite() && *precision > 0.0)) {
            return Err(Error::setting("precision", "a finite number above 0", got));
        }
        if let Some((logs, label)) =
            rows.iter().find(|(logs, label)| logs.len() != classes || *label as usize >= classes)
        {
            let got = format!("{} with label {label}", logs.len());
            return Err(Error::setting("classes of a row", classes.to_string(), got));
        }
        let identity = Self::identity(classes);
        if rows.is_empty() {
            return Ok(identity);
        }
        let start = std::iter::once(identity.scale).chain(identity.biases).collect();
        let at = minimize(&ScaledLoss { rows, precisions }, start, TOLERANCE, MOST_STEPS)?.at;
        Ok(Self { scale: at[0], biases: at[1..].to_vec() })
    }

    /// ln p of the scaled probabilities.
    pub fn apply(&self, logs: &[f64]) -> Vec<f64> {
        let mut scores: Vec<f64> = logs.iter().zip(&self.biases).map(|(log, bias)| self.scale * log + bias).collect();
        log_softmax(&mut scores);
        scores
    }

    /// 1 − max p of the scaled probabilities.
    pub fn uncertainty(&self, logs: &[f64]) -> f64 {
        1.0 - best_class(&self.apply(logs)).1.exp()
    }
}
