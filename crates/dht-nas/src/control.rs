//! Cost terms of the search objective, which drive the expected cost of an architecture to a target.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Cost term of the search objective. It drives the expected cost of the encoder to a target; both are shares of the
/// whole encoder's cost. The expected cost is computed from gates, factors in [0, 1] on dimensions, neurons and heads.
/// [`Count`](crate::Count) defines whether relaxed or thresholded gates are used.
///
/// ```
/// use dht_nas::Control;
///
/// // The gates cost .8 of the encoder, and the target is .5: the multiplier and the term grow.
/// let control = Control::Lagrangian { rate: 0.1, penalty: 1.0, warm_up: 0.0 };
/// let multiplier = control.adapted(0.8, 0.5, 0.0);
/// assert!((multiplier - 0.03).abs() < 1e-12);
/// let (term, slope) = control.term(0.8, 0.8, 0.5, multiplier);
/// assert!((term - (0.03 * 0.3 + 0.045)).abs() < 1e-12 && slope > 0.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// No cost term: only the task loss trains the gates. The target cost applies only to the final selection of units.
    Free,
    /// Cost term of TAS, transformable architecture search (Dong and Yang 2019, equations 7 and 8). It lowers the cost
    /// if the current architecture is too expensive, raises it if it is too cheap, and is 0 within a tolerance. The
    /// [report](crate#source) on differentiable search for BERT uses the same term (equations 3 and 4).
    ///
    /// Let E be the expected cost, R the target, and F the cost of the units above the relaxation's
    /// [threshold](crate::Relaxation::kept). With the weight λ and the tolerance t, the term is λ·ln E if F > (1 +
    /// t)·R, −λ·ln E if F < (1 − t)·R, and otherwise 0.
    Tas {
        /// Weight λ of the cost term, at least 0.
        weight: f64,
        /// Tolerance t around the target cost, as a share of the target, between 0 and 1.
        tolerance: f64,
    },
    /// Augmented Lagrangian for the constraint that the expected cost E equals the target R, as Wang, Wohlwend and Lei
    /// (2020) use it for pruning. The term is μ·(E − R) + ρ/2·(E − R)², with μ ← μ + η·(E − R) after each step. The
    /// multiplier μ grows until the cost meets the target. With a fixed weight, a search would end with all units or
    /// with none.
    Lagrangian {
        /// Step size η of the multiplier μ, at least 0.
        rate: f64,
        /// Weight ρ of the quadratic penalty, at least 0.
        penalty: f64,
        /// Share of the training steps, in [0, 1], over which the target cost falls from 1 to its final value.
        warm_up: f64,
    },
}

/// Lower limit of the expected cost before its logarithm is taken. If all gates are 0, the expected cost is 0, and the
/// derivative would not be a number. The report on differentiable search for BERT has no such limit.
const LEAST_EXPECTED: f64 = 1e-6;

impl Control {
    /// Cost term of TAS (transformable architecture search) with default weight λ and tolerance t. They are this
    /// crate's choice, since the report on differentiable search for BERT states neither.
    pub fn tas() -> Self {
        Self::Tas { weight: 1.0, tolerance: 0.05 }
    }

    /// Augmented Lagrangian with default settings, which bring the expected cost within some thousandths of the target.
    pub fn lagrangian() -> Self {
        Self::Lagrangian { rate: 0.1, penalty: 2.0, warm_up: 0.5 }
    }

    /// Checks that each setting is in its range.
    ///
    /// # Errors
    /// [`Error::Argument`] if a setting is out of range, with the first such setting.
    pub fn check(&self) -> Result<()> {
        let not_negative = |field, value: f64| match value >= 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(Error::argument(field, "a finite number, at least 0", value)),
        };
        match *self {
            Self::Free => Ok(()),
            Self::Tas { weight, tolerance } => {
                not_negative("tas.weight", weight)?;
                match tolerance > 0.0 && tolerance < 1.0 {
                    true => Ok(()),
                    false => Err(Error::argument("tas.tolerance", "above 0 and below 1", tolerance)),
                }
            }
            Self::Lagrangian { rate, penalty, warm_up } => {
                not_negative("lagrangian.rate", rate)?;
                not_negative("lagrangian.penalty", penalty)?;
                match (0.0..=1.0).contains(&warm_up) {
                    true => Ok(()),
                    false => Err(Error::argument("lagrangian.warm_up", "0 to 1", warm_up)),
                }
            }
        }
    }

    /// Target cost at a point of the training run. `target` is the final target, and `share` the completed share of the
    /// training steps, between 0 and 1.
    pub fn target(&self, target: f64, share: f64) -> f64 {
        match *self {
            Self::Lagrangian { warm_up, .. } if share < warm_up => 1.0 - (1.0 - target) * share / warm_up,
            _ => target,
        }
    }

    /// Cost term and its derivative with respect to the expected cost. `expected` is the expected cost, `chosen` the
    /// cost of the currently selected architecture, and `multiplier` the current multiplier μ of the Lagrangian.
    pub fn term(&self, expected: f64, chosen: f64, target: f64, multiplier: f64) -> (f64, f64) {
        match *self {
            Self::Free => (0.0, 0.0),
            Self::Tas { weight, tolerance } => {
                let expected = expected.max(LEAST_EXPECTED);
                if chosen > (1.0 + tolerance) * target {
                    (weight * expected.ln(), weight / expected)
                } else if chosen < (1.0 - tolerance) * target {
                    (-weight * expected.ln(), -weight / expected)
                } else {
                    (0.0, 0.0)
                }
            }
            Self::Lagrangian { penalty, .. } => {
                let over = expected - target;
                (multiplier * over + penalty / 2.0 * over * over, multiplier + penalty * over)
            }
        }
    }

    /// Multiplier μ of the Lagrangian after a training step, from its value before the step, the expected cost and the
    /// target.
    pub fn adapted(&self, expected: f64, target: f64, multiplier: f64) -> f64 {
        match *self {
            Self::Lagrangian { rate, .. } => multiplier + rate * (expected - target),
            _ => multiplier,
        }
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    #[test]
    fn the_cost_term_of_tas_is_its_three_cases() {
        let tas = Control::Tas { weight: 2.0, tolerance: 0.1 };
        // 0.5·1.1 = .55, 0.5·.9 = .45.
        assert_eq!(tas.term(0.8, 0.56, 0.5, 0.0), (2.0 * 0.8_f64.ln(), 2.5));
        assert_eq!(tas.term(0.8, 0.54, 0.5, 0.0), (0.0, 0.0));
        assert_eq!(tas.term(0.8, 0.46, 0.5, 0.0), (0.0, 0.0));
        assert_eq!(tas.term(0.8, 0.44, 0.5, 0.0), (-2.0 * 0.8_f64.ln(), -2.5));
    }

    #[test]
    fn a_cost_of_nothing_has_a_finite_term() {
        for expected in [0.0, 1e-300, 1e-7] {
            let (value, slope) = Control::tas().term(expected, 0.0, 0.5, 0.0);
            assert!(value.is_finite() && (slope as f32).is_finite() && slope < 0.0, "{expected}: {value}, {slope}");
        }
    }

    #[test]
    fn slopes_are_those_of_the_terms() {
        let lagrangian = Control::Lagrangian { rate: 0.1, penalty: 3.0, warm_up: 0.0 };
        for control in [Control::tas(), lagrangian, Control::Free] {
            for expected in [0.3, 0.9] {
                let at = |e: f64| control.term(e, 0.9, 0.5, 0.7).0;
                let slope = (at(expected + 1e-6) - at(expected - 1e-6)) / 2e-6;
                assert_relative_eq!(
                    control.term(expected, 0.9, 0.5, 0.7).1,
                    slope,
                    epsilon = 1e-8,
                    max_relative = 1e-7
                );
            }
        }
    }

    #[test]
    fn the_target_falls_from_one_and_stays() {
        let control = Control::Lagrangian { rate: 0.1, penalty: 3.0, warm_up: 0.5 };
        assert_eq!([0.0, 0.25, 0.5, 1.0].map(|share| control.target(0.4, share)), [1.0, 0.7, 0.4, 0.4]);
        assert_eq!(Control::tas().target(0.4, 0.0), 0.4);
    }

    #[test]
    fn a_multiplier_finds_the_weight_at_which_the_target_holds() {
        // min Σ wᵢ(1 − zᵢ)²/2 + term: at E = mean z = R the price of a unit is w_i(1 − z_i) for each, so that for
        // w = (1, 2, 4) and R = .5 the price is 1.5/(1 + 1/2 + 1/4) = 6/7, for the mean three times that.
        let (weights, control, target) =
            ([1.0, 2.0, 4.0], Control::Lagrangian { rate: 0.2, penalty: 1.0, warm_up: 0.0 }, 0.5);
        let (mut z, mut multiplier) = ([1.0_f64; 3], 0.0);
        for _ in 0..4000 {
            let expected = z.iter().sum::<f64>() / 3.0;
            let (_, slope) = control.term(expected, expected, target, multiplier);
            for (z, weight) in z.iter_mut().zip(weights) {
                *z -= 0.05 * (-weight * (1.0 - *z) + slope / 3.0);
            }
            multiplier = control.adapted(expected, target, multiplier);
        }
        assert_relative_eq!(z.iter().sum::<f64>() / 3.0, target, epsilon = 1e-6);
        assert_relative_eq!(multiplier, 3.0 * 6.0 / 7.0, epsilon = 1e-5);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (control, field) in [
            (Control::Tas { weight: -1.0, tolerance: 0.1 }, "tas.weight"),
            (Control::Tas { weight: 1.0, tolerance: 1.0 }, "tas.tolerance"),
            (Control::Tas { weight: 1.0, tolerance: 0.0 }, "tas.tolerance"),
            (Control::Lagrangian { rate: f64::NAN, penalty: 1.0, warm_up: 0.1 }, "lagrangian.rate"),
            (Control::Lagrangian { rate: 1.0, penalty: -1.0, warm_up: 0.1 }, "lagrangian.penalty"),
            (Control::Lagrangian { rate: 1.0, penalty: 1.0, warm_up: 1.1 }, "lagrangian.warm_up"),
        ] {
            let error = control.check().unwrap_err();
            assert!(matches!(&error, Error::Argument { name: rejected, .. } if *rejected == field), "{error}");
        }
    }
}
