//! Masks σ(α): the report's search of dimensions.

use candle_core::Tensor;
use dht_transformer::model::Gate;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::Relaxation;
use super::check::{finite, share};
use super::gate_math::{shaped, sigmoid_of, sigmoid_tensor};
use crate::error::{Error, Result};
use crate::space::Group;

/// z = σ(α), kept where σ(α) > threshold (report, 5.5.1).
///
/// The report rescales the gradient, so that one step can go from 5 to −5, by a factor that it does not print. Under Adam a factor on the
/// gradient cancels out. Here the step is rescaled, by [`gate_rate`](crate::NasSettings::gate_rate): at 10 a step crosses. Where the slope
/// of σ is next to 0, beyond about ±15, α would not come back, so that it is held within ±[`bound`](Self::bound).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sigmoid {
    /// α at the beginning.
    pub start: f64,
    /// The least σ(α) of a unit that is kept.
    pub threshold: f64,
    /// The largest |α|, at which each step begins; at least |start|. `None`: none.
    pub bound: Option<f64>,
}

impl Default for Sigmoid {
    /// The report's start and threshold, 5 and .01; it prints no bound but the two values between which a step jumps, ±5.
    fn default() -> Self {
        Self { start: 5.0, threshold: 0.01, bound: Some(5.0) }
    }
}

impl Sigmoid {
    pub(super) fn check(&self) -> Result<()> {
        finite("sigmoid.start", self.start)?;
        share("sigmoid.threshold", self.threshold)?;
        match self.bound {
            Some(bound) if !(bound.is_finite() && bound >= self.start.abs()) => {
                Err(Error::setting("sigmoid.bound", "a finite number, at least |start|", bound))
            }
            _ => Ok(()),
        }
    }
}

impl Relaxation for Sigmoid {
    fn start(&self, group: &Group, _: &mut dyn Rng) -> Vec<f32> {
        vec![self.start as f32; group.units()]
    }

    fn sample(&self, alpha: &Tensor, group: &Group, _: f64, _: &mut dyn Rng) -> Result<Gate> {
        shaped(&sigmoid_tensor(alpha)?, group)
    }

    fn open(&self, alpha: &Tensor, _: &Group) -> Result<Tensor> {
        sigmoid_tensor(alpha)
    }

    fn score(&self, alpha: &[f32], _: &Group) -> Vec<f64> {
        alpha.iter().map(|alpha| f64::from(*alpha)).collect()
    }

    fn kept(&self, alpha: &[f32], group: &Group, _: f64) -> Vec<bool> {
        self.value(alpha, group).into_iter().map(|value| value > self.threshold).collect()
    }

    fn bound(&self) -> Option<f64> {
        self.bound
    }

    fn value(&self, alpha: &[f32], _: &Group) -> Vec<f64> {
        alpha.iter().map(|alpha| sigmoid_of(f64::from(*alpha))).collect()
    }
}
