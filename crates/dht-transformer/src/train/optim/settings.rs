//! Settings of the optimiser.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Settings of [`AdamW`](crate::train::optim::AdamW).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWSettings {
    /// η, peak learning rate of the schedule. [`AdamW::step`](crate::train::optim::AdamW::step) takes the rate of each
    /// step.
    pub learning_rate: f64,
    /// β₁, decay of the mean gradient per step; in [0, 1).
    pub beta1: f64,
    /// β₂, decay of the mean squared gradient per step; in [0, 1).
    pub beta2: f64,
    /// ε, added to the root of the mean squared gradient; above 0.
    pub epsilon: f64,
    /// λ, weight decay: fraction of a parameter that is subtracted per unit of learning rate.
    pub weight_decay: f64,
    /// Maximum norm of the gradient over all [clipped](super::Multipliers::clipped) parameters; gradients of a larger
    /// norm are scaled down. `None` for no clipping.
    pub clip_norm: Option<f64>,
    /// Number of consecutive gradients with NaN or infinity that causes an error; fewer such gradients only skip their
    /// steps. At least 1.
    pub patience: u32,
}

impl Default for AdamWSettings {
    /// Fine-tuning defaults of Hugging Face's trainer: 5e-5, betas .9 and .999, and clipping at 1, but with a weight
    /// decay of .01.
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
