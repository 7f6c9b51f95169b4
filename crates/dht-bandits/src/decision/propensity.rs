//! Probabilities with which policies choose arms.

use serde::{Deserialize, Serialize};

use crate::arm::ArmId;

/// Largest absolute error of a propensity computed by quadrature.
pub(crate) const QUADRATURE_ERROR: f64 = 1e-9;

/// Probability that a policy chooses an arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Propensity {
    /// Arm whose probability it is.
    pub arm: ArmId,
    /// Probability of choosing the arm; in a slate, the probability of showing it.
    pub probability: f64,
    /// Error of the probability: 0 if it is exact up to rounding, a bound of 1e-9 if the probability comes from
    /// quadrature, and a standard error if one draw of shared weights scores all arms. The standard error is valid if
    /// features differ on scales within 13 orders of magnitude, since smaller differences are lost in rounding.
    pub standard_error: f64,
}

impl Propensity {
    /// Creates an exact probability.
    pub fn exact(arm: ArmId, probability: f64) -> Self {
        Self { arm, probability, standard_error: 0.0 }
    }
}
