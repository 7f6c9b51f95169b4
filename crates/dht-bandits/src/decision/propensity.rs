//! Propensities: the probabilities with which a policy chooses its arms.

use serde::{Deserialize, Serialize};

use crate::arm::ArmId;

/// Largest absolute error of a propensity that is computed by numerical integration.
pub(crate) const QUADRATURE_ERROR: f64 = 1e-9;

/// Propensity: the probability with which a policy chooses one arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Propensity {
    /// Arm to which the probability belongs.
    pub arm: ArmId,
    /// Probability of choosing the arm; in a slate (a list of arms shown at once), the probability of showing it.
    pub probability: f64,
    /// Numerical error of `probability`. It is 0 for an exact probability (up to rounding), and at most 1e-9 for one
    /// computed by numerical integration. Policies whose arms share one weight vector return an estimate and its
    /// standard error. This standard error is valid if the scales of features differ by at most 13 orders of magnitude;
    /// smaller features are lost in rounding.
    pub standard_error: f64,
}

impl Propensity {
    /// Creates a propensity that is exact up to rounding.
    pub fn exact(arm: ArmId, probability: f64) -> Self {
        Self { arm, probability, standard_error: 0.0 }
    }
}
