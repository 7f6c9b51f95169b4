//! Gumbel-softmax relaxation with two classes for each unit, kept and dropped.

use candle_core::Tensor;
use dht_transformer::model::Gate;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::Relaxation;
use super::check::{finite, positive};
use super::gate_math::{annealed, logistic, shaped, sigmoid_of, sigmoid_tensor};
use crate::error::Result;
use crate::space::Group;

/// Gumbel-softmax relaxation: gates are sampled as 0 or 1, with a straight-through gradient (Jang et al. 2017, equation
/// 2).
///
/// A unit with the architecture variable α is kept with probability π₁ = σ(α), and dropped with probability π₀ = 1 −
/// σ(α). With the temperature τ and gᵢ ~ Gumbel(0, 1), the soft gate is y = exp((ln π₁ + g₁)/τ) / Σᵢ exp((ln πᵢ +
/// gᵢ)/τ) = σ((α + g₁ − g₀)/τ). The gate z is 1 if y > ½ and otherwise 0, and has the gradient of y: `z = y + (1[y > ½]
/// − y).detach()`. τ decreases geometrically over each training run. In a search with two stages it decreases twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GumbelSoftmax {
    /// Initial architecture variable α of every unit (dimension, neuron or head).
    pub start: f64,
    /// Initial temperature τ, above 0.
    pub first_temperature: f64,
    /// Final temperature τ, above 0.
    pub last_temperature: f64,
}

impl Default for GumbelSoftmax {
    /// Initial probability of .88 that a unit is kept, and a temperature τ that falls from 1 to .2. Both are choices of
    /// this crate.
    fn default() -> Self {
        Self { start: 2.0, first_temperature: 1.0, last_temperature: 0.2 }
    }
}

impl GumbelSoftmax {
    pub(super) fn check(&self) -> Result<()> {
        finite("gumbel_softmax.start", self.start)?;
        positive("gumbel_softmax.first_temperature", self.first_temperature)?;
        positive("gumbel_softmax.last_temperature", self.last_temperature)
    }
}

impl Relaxation for GumbelSoftmax {
    fn start(&self, group: &Group, _: &mut dyn Rng) -> Vec<f32> {
        vec![self.start as f32; group.units()]
    }

    fn sample(&self, alpha: &Tensor, group: &Group, share: f64, rng: &mut dyn Rng) -> Result<Gate> {
        let temperature = annealed(self.first_temperature, self.last_temperature, share);
        let soft = sigmoid_tensor(&((alpha + logistic(alpha, rng)?)? / temperature)?)?;
        let hard = soft.gt(0.5)?.to_dtype(soft.dtype())?;
        shaped(&(&soft + (hard - &soft)?.detach())?, group)
    }

    fn open(&self, alpha: &Tensor, _: &Group) -> Result<Tensor> {
        sigmoid_tensor(alpha)
    }

    fn score(&self, alpha: &[f32], _: &Group) -> Vec<f64> {
        alpha.iter().map(|alpha| f64::from(*alpha)).collect()
    }

    /// Selects the units whose probability of being kept is above ½.
    fn kept(&self, alpha: &[f32], _: &Group, _: f64) -> Vec<bool> {
        alpha.iter().map(|alpha| sigmoid_of(f64::from(*alpha)) > 0.5).collect()
    }

    fn value(&self, alpha: &[f32], _: &Group) -> Vec<f64> {
        vec![1.0; alpha.len()]
    }
}
