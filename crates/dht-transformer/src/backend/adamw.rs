//! Constants and moments of an AdamW step. Each backend implements the step itself.
//!
//! ```text
//! p ← p (1 − η λ)
//! m ← m + (1 − β₁)(g − m)
//! v ← β₂ v + (1 − β₂) g²
//! p ← p − η/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
//! ```
//!
//! The operations have the same order as in PyTorch.

use std::fmt::Debug;

use candle_core::Var;

use crate::error::Result;
use crate::tensors::Gradient;

/// Constants of one AdamW step. They are the same for all values of a parameter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coefficients {
    /// Factor 1 − η λ by which weight decay shrinks the parameter, with the learning rate η and the weight decay λ.
    pub(crate) shrink: f64,
    /// Factor by which gradient clipping scales the gradient.
    pub(crate) scale: f64,
    /// Decay factors β₁ and β₂ of the moments.
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    /// Bias correction √(1 − β₂ᵗ) for the square root of the second moment at step t.
    pub(crate) root_correction: f64,
    /// Constant ε that is added to the square root of the second moment.
    pub(crate) epsilon: f64,
    /// Learning rate η / (1 − β₁ᵗ) at step t, which includes the bias correction of the first moment.
    pub(crate) rate: f64,
}

/// Constants of one AdamW step, rounded to single precision like the parameters.
#[derive(Clone, Copy)]
pub(crate) struct Single {
    pub(crate) shrink: f32,
    pub(crate) scale: f32,
    pub(crate) first_weight: f32,
    pub(crate) second_decay: f32,
    pub(crate) second_weight: f32,
    pub(crate) root_correction: f32,
    pub(crate) epsilon: f32,
    pub(crate) rate: f32,
}

impl From<Coefficients> for Single {
    fn from(of: Coefficients) -> Self {
        Self {
            shrink: of.shrink as f32,
            scale: of.scale as f32,
            first_weight: (1.0 - of.beta1) as f32,
            second_decay: of.beta2 as f32,
            second_weight: (1.0 - of.beta2) as f32,
            root_correction: of.root_correction as f32,
            epsilon: of.epsilon as f32,
            rate: of.rate as f32,
        }
    }
}

/// AdamW moments of one parameter: running means of its gradient (m) and of the gradient's square (v). Each backend
/// stores them on its own device.
pub(crate) trait Moments: Debug + Send + Sync {
    /// Runs one AdamW step on the parameter `var` and its moments. The gradient has the parameter's shape.
    fn step(&mut self, var: &Var, gradient: &Gradient, with: Coefficients) -> Result<()>;

    fn values(&self) -> Result<[Vec<f32>; 2]>;

    fn boxed(&self) -> Box<dyn Moments>;
}

impl Clone for Box<dyn Moments> {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}
