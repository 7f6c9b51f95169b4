//! Settings of the AdamW optimiser.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Settings of the optimiser [`AdamW`](crate::train::optim::AdamW).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWSettings {
    /// Learning rate η at the maximum of the schedule. [`AdamW::step`](crate::train::optim::AdamW::step) receives the
    /// rate of each step.
    pub learning_rate: f64,
    /// Decay factor β₁ of the mean gradient in each step, in [0, 1).
    pub beta1: f64,
    /// Decay factor β₂ of the mean squared gradient in each step, in [0, 1).
    pub beta2: f64,
    /// Number ε that is added to the root of the mean squared gradient, above 0.
    pub epsilon: f64,
    /// Weight decay λ: a step with the learning rate η subtracts the fraction η·λ from each parameter.
    pub weight_decay: f64,
    /// Maximum norm of the gradient over all [clipped](super::Multipliers::clipped) parameters. A gradient with a
    /// larger norm is scaled down. `None` disables clipping.
    pub clip_norm: Option<f64>,
    /// Number of consecutive steps with NaN or infinite gradients after which an error is returned, at least 1. Fewer
    /// such steps are only skipped.
    pub patience: u32,
}

impl Default for AdamWSettings {
    /// Defaults of Hugging Face's trainer for fine-tuning (learning rate 5e-5, betas .9 and .999, clipping at 1), but
    /// with a weight decay of .01.
    fn default() -> Self {
        Self {
            learning_rate: 5e-5,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
            clip_norm: Some(1.0),
            patience: 5,
        }
    }
}

impl AdamWSettings {
    /// Checks that the settings are valid.
    ///
    /// # Errors
    /// [`Error::Argument`] for the first invalid setting.
    pub fn check(&self) -> Result<()> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let share = |value: f64| (0.0..1.0).contains(&value);
        not_negative("learning_rate", self.learning_rate)?;
        not_negative("weight_decay", self.weight_decay)?;
        require(share(self.beta1), "beta1", "a number in [0, 1)", self.beta1)?;
        require(share(self.beta2), "beta2", "a number in [0, 1)", self.beta2)?;
        // In the precision of the parameters: an ε that is 0 there would divide by zero.
        require(positive(f64::from(self.epsilon as f32)), "epsilon", "a number above 1e-45", self.epsilon)?;
        let clip_norm = self.clip_norm.unwrap_or(1.0);
        require(positive(clip_norm), "clip_norm", "a finite number above 0", clip_norm)?;
        require(self.patience > 0, "patience", "at least 1", self.patience)
    }
}

pub(crate) fn not_negative(field: &'static str, value: f64) -> Result<()> {
    require(value >= 0.0 && value.is_finite(), field, "a finite number of at least 0", value)
}

fn require(holds: bool, field: &'static str, expected: &str, got: impl ToString) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::argument(field, expected, got.to_string())) }
}
