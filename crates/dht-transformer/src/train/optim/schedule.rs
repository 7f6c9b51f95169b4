//! Learning-rate schedules.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Length of the warm-up, the phase at the start of a run in which the learning rate rises from zero.
///
/// # Examples
/// ```
/// use dht_transformer::train::optim::WarmUp;
///
/// assert_eq!(WarmUp::Fraction(0.1).steps(53), 6);
/// assert_eq!(WarmUp::NONE.steps(53), 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WarmUp {
    /// Warm-up of this number of optimiser steps.
    Steps(u64),
    /// Warm-up of this fraction of all steps, in [0, 1], rounded up to whole steps.
    Fraction(f64),
}

impl WarmUp {
    /// No warm-up: the first step has the full learning rate.
    pub const NONE: Self = Self::Steps(0);

    /// Number of warm-up steps in a run of `total_steps` steps.
    pub fn steps(self, total_steps: u64) -> u64 {
        match self {
            Self::Steps(steps) => steps,
            Self::Fraction(fraction) => (fraction * total_steps as f64).ceil() as u64,
        }
    }
}

/// Learning-rate schedule: a factor on the learning rate that depends on the step.
///
/// With w steps of warm-up and T steps in all, the factor at step t (counted from 0) is t / w while t < w. After that
/// it is
///
/// - constant: 1
/// - linear: (T − t) / (T − w)
/// - cosine: (1 + cos(π (t − w) / (T − w))) / 2
///
/// as in `get_{constant,linear,cosine}_schedule_with_warmup` of Hugging Face `transformers`. In both implementations,
/// step 0 of a warm-up has rate zero. They differ only after the end of the run (t > T), where the cosine stays at 0
/// here, but rises again in `transformers`.
///
/// # Examples
/// ```
/// use dht_transformer::train::optim::{Schedule, WarmUp};
///
/// let schedule = Schedule::Linear { warm_up: WarmUp::Steps(10) };
/// assert_eq!(schedule.rate(5, 110), 0.5);
/// assert_eq!(schedule.rate(10, 110), 1.0);
/// assert_eq!(schedule.rate(110, 110), 0.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schedule {
    /// Full learning rate after the warm-up.
    Constant {
        /// Length of the warm-up.
        warm_up: WarmUp,
    },
    /// Linear decay to zero at the end of the run.
    Linear {
        /// Length of the warm-up.
        warm_up: WarmUp,
    },
    /// Decay to zero at the end of the run along half a cosine wave.
    Cosine {
        /// Length of the warm-up.
        warm_up: WarmUp,
    },
}

impl Default for Schedule {
    /// Linear decay after a warm-up of a tenth of the steps, as in fine-tuning BERT (Devlin et al. 2019, A.3).
    fn default() -> Self {
        Self::Linear { warm_up: WarmUp::Fraction(0.1) }
    }
}

impl Schedule {
    fn warm_up(self) -> WarmUp {
        match self {
            Self::Constant { warm_up } | Self::Linear { warm_up } | Self::Cosine { warm_up } => warm_up,
        }
    }

    /// Checks that the settings are valid.
    ///
    /// # Errors
    /// [`Error::Argument`] if the fraction of the warm-up is outside [0, 1].
    pub fn check(self) -> Result<()> {
        match self.warm_up() {
            WarmUp::Fraction(fraction) if !(0.0..=1.0).contains(&fraction) => {
                Err(Error::argument("warm_up.fraction", "a number in [0, 1]", fraction.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Factor on the learning rate, in [0, 1], at `step` (counted from 0) of `total_steps` steps.
    pub fn rate(self, step: u64, total_steps: u64) -> f64 {
        let warm_up = self.warm_up().steps(total_steps);
        if step < warm_up {
            return step as f64 / warm_up as f64;
        }
        let falling = total_steps.saturating_sub(warm_up).max(1) as f64;
        match self {
            Self::Constant { .. } => 1.0,
            Self::Linear { .. } => total_steps.saturating_sub(step) as f64 / falling,
            Self::Cosine { .. } => {
                let progress = ((step - warm_up) as f64 / falling).min(1.0);
                0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    fn all(warm_up: WarmUp) -> [Schedule; 3] {
        [Schedule::Constant { warm_up }, Schedule::Linear { warm_up }, Schedule::Cosine { warm_up }]
    }

    /// Reference implementation of the schedules: the lambdas of `optimization.py` in `transformers`, copied literally.
    fn hugging_face(schedule: Schedule, step: u64, total: u64) -> f64 {
        let warm_up = schedule.warm_up().steps(total);
        let (step, total) = (step as f64, total as f64);
        let warm = warm_up as f64;
        if step < warm {
            return step / warm.max(1.0);
        }
        match schedule {
            Schedule::Constant { .. } => 1.0,
            Schedule::Linear { .. } => ((total - step) / (total - warm).max(1.0)).max(0.0),
            Schedule::Cosine { .. } => {
                let progress = (step - warm) / (total - warm).max(1.0);
                (0.5 * (1.0 + (std::f64::consts::PI * 0.5 * 2.0 * progress).cos())).max(0.0)
            }
        }
    }

    #[test]
    fn every_step_has_the_rate_of_hugging_face() {
        for warm_up in [WarmUp::NONE, WarmUp::Steps(7), WarmUp::Fraction(0.1), WarmUp::Fraction(1.0)] {
            for schedule in all(warm_up) {
                for step in 0..=53 {
                    assert_abs_diff_eq!(schedule.rate(step, 53), hugging_face(schedule, step, 53), epsilon = 1e-15);
                }
            }
        }
    }

    #[test]
    fn a_fraction_of_the_steps_is_rounded_up() {
        assert_eq!(WarmUp::Fraction(0.1).steps(53), 6);
        assert_eq!(WarmUp::Fraction(0.0).steps(53), 0);
    }

    #[test]
    fn known_points_are_met() {
        let linear = Schedule::Linear { warm_up: WarmUp::Steps(10) };
        let cosine = Schedule::Cosine { warm_up: WarmUp::Steps(10) };
        for schedule in [linear, cosine] {
            assert_eq!(schedule.rate(0, 110), 0.0);
            assert_eq!(schedule.rate(5, 110), 0.5);
            assert_eq!(schedule.rate(10, 110), 1.0);
            assert_abs_diff_eq!(schedule.rate(60, 110), 0.5, epsilon = 1e-15);
            assert_abs_diff_eq!(schedule.rate(110, 110), 0.0, epsilon = 1e-15);
        }
        assert_eq!(linear.rate(35, 110), 0.75);
        assert_abs_diff_eq!(cosine.rate(35, 110), 0.5 + 0.125_f64.sqrt(), epsilon = 1e-15);
    }

    #[test]
    fn past_the_end_the_rate_stays_where_it_ended() {
        for schedule in all(WarmUp::Steps(3)) {
            let expected = if matches!(schedule, Schedule::Constant { .. }) { 1.0 } else { 0.0 };
            for total in [0, 1, 3, 10] {
                assert_abs_diff_eq!(schedule.rate(total + 20, total), expected, epsilon = 1e-15);
            }
        }
    }

    #[test]
    fn an_impossible_fraction_is_refused() {
        for fraction in [-0.1, 1.1, f64::NAN] {
            for schedule in all(WarmUp::Fraction(fraction)) {
                assert!(matches!(schedule.check(), Err(Error::Argument { name: "warm_up.fraction", .. })));
            }
        }
        assert!(Schedule::default().check().is_ok());
    }
}
