//! Constants and moments of the AdamW optimiser. Each backend implements the step itself.
//!
//! ```text
//! p ← p (1 − η λ)
//! m ← m + (1 − β₁)(g − m)
//! v ← β₂ v + (1 − β₂) g²
//! p ← p − η/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
//! ```
//!
//! The order of operations is PyTorch's.

use std::fmt::Debug;

use candle_core::Var;

use crate::error::Result;
use crate::tensors::Gradient;

/// Constants of AdamW's step for one parameter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coefficients {
    /// Factor 1 − η λ on the parameter, with the learning rate η and the weight decay λ.
    pub(crate) shrink: f64,
    /// Factor that reduces the gradient to the clipping norm.
    pub(crate) scale: f64,
    /// Decay factors β₁ and β₂ of the moments.
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    /// Bias correction √(1 − β₂ᵗ) of the root of the second moment at step t.
    pub(crate) root_correction: f64,
    /// Number ε that is added to the root of the second moment.
    pub(crate) epsilon: f64,
    /// Learning rate with the bias correction of the first moment at step t, η / (1 − β₁ᵗ).
    pub(crate) rate: f64,
}

/// Constants of AdamW's step in single precision, which the parameters have.
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

/// Running means of a parameter's gradient (m) and of its square (v), stored by the backend.
pub(crate) trait Moments: Debug + Send + Sync {
    /// Updates the parameter and the moments by one step. The gradient has the parameter's shape.
    fn step(&mut self, var: &Var, gradient: &Gradient, with: Coefficients) -> Result<()>;

    /// Values of the moments m and v, copied to the CPU.
    fn values(&self) -> Result<[Vec<f32>; 2]>;

    /// Independent copy of the moments.
    fn boxed(&self) -> Box<dyn Moments>;
}

impl Clone for Box<dyn Moments> {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}
