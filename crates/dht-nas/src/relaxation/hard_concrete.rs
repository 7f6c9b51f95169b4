//! Hard-concrete relaxation: gates that are 0 or 1 with positive probability, and differentiable in between.

use candle_core::Tensor;
use dht_transformer::model::Gate;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::Relaxation;
use super::check::{finite, positive};
use super::gate_math::{logistic, shaped, sigmoid_of, sigmoid_tensor};
use crate::error::{Error, Result};
use crate::space::Group;

/// Hard-concrete relaxation: gates that are exactly 0 or 1 with positive probability (Louizos, Welling and Kingma
/// 2018).
///
/// Let α be the architecture variable of a unit, β the temperature, and γ and ζ the ends of an interval that contains
/// [0, 1]. A sampled gate is z = min(1, max(0, s·(ζ − γ) + γ)) with s = σ((ln u − ln(1 − u) + α)/β), for u uniform in
/// (0, 1) (equations 10 and 11). In the expected cost, the unit counts with the probability P(z > 0) = σ(α −
/// β·ln(−γ/ζ)) (equation 12). The final gate has no noise: min(1, max(0, σ(α)·(ζ − γ) + γ)) (equation 13).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HardConcrete {
    /// Initial architecture variable α of every unit (dimension, neuron or head).
    pub start: f64,
    /// Temperature β, above 0.
    pub temperature: f64,
    /// Lower end γ, below 0, of the interval to which gates (factors on units) are stretched before they are clipped to
    /// [0, 1].
    pub low: f64,
    /// Upper end ζ, above 1, of the interval to which gates (factors on units) are stretched before they are clipped to
    /// [0, 1].
    pub high: f64,
}

impl Default for HardConcrete {
    /// Settings of Louizos, Welling and Kingma (2018): temperature β = 2/3, and interval ends γ = −.1 and ζ = 1.1. A
    /// gate, the factor on a unit, is initially above 0 with probability .97, which is this crate's choice.
    fn default() -> Self {
        Self { start: 2.0, temperature: 2.0 / 3.0, low: -0.1, high: 1.1 }
    }
}

impl HardConcrete {
    pub(super) fn check(&self) -> Result<()> {
        finite("hard_concrete.start", self.start)?;
        positive("hard_concrete.temperature", self.temperature)?;
        if !(self.low < 0.0 && self.low.is_finite()) {
            return Err(Error::argument("hard_concrete.low", "below 0", self.low));
        }
        if !(self.high > 1.0 && self.high.is_finite()) {
            return Err(Error::argument("hard_concrete.high", "above 1", self.high));
        }
        Ok(())
    }

    /// Shift β·ln(−γ/ζ): the probability that a gate is above 0 is σ(α − shift).
    fn shift(&self) -> f64 {
        self.temperature * (-self.low / self.high).ln()
    }
}

impl Relaxation for HardConcrete {
    fn start(&self, group: &Group, _: &mut dyn Rng) -> Vec<f32> {
        vec![self.start as f32; group.units()]
    }

    fn sample(&self, alpha: &Tensor, group: &Group, _: f64, rng: &mut dyn Rng) -> Result<Gate> {
        let s = sigmoid_tensor(&((alpha + logistic(alpha, rng)?)? / self.temperature)?)?;
        let stretched = ((s * (self.high - self.low))? + self.low)?;
        // min(1, x) = 1 − max(0, 1 − x).
        shaped(&(1.0 - (1.0 - stretched.relu()?)?.relu()?)?, group)
    }

    fn open(&self, alpha: &Tensor, _: &Group) -> Result<Tensor> {
        sigmoid_tensor(&(alpha - self.shift())?)
    }

    fn score(&self, alpha: &[f32], _: &Group) -> Vec<f64> {
        alpha.iter().map(|alpha| f64::from(*alpha)).collect()
    }

    /// Selects the units whose final gate, without noise, is above 0.
    fn kept(&self, alpha: &[f32], group: &Group, _: f64) -> Vec<bool> {
        self.value(alpha, group).into_iter().map(|value| value > 0.0).collect()
    }

    fn value(&self, alpha: &[f32], _: &Group) -> Vec<f64> {
        let gate = |alpha: &f32| (sigmoid_of(f64::from(*alpha)) * (self.high - self.low) + self.low).clamp(0.0, 1.0);
        alpha.iter().map(gate).collect()
    }
}
