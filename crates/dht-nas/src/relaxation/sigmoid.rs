//! Sigmoid masks σ(α), with which the [report](crate#source) on differentiable search for BERT relaxes dimensions.

use candle_core::Tensor;
use dht_transformer::model::Gate;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::Relaxation;
use super::check::{finite, share};
use super::gate_math::{shaped, sigmoid_of, sigmoid_tensor};
use crate::error::{Error, Result};
use crate::space::Group;

/// Sigmoid relaxation: each unit has the gate z = σ(α), with an architecture variable α, and is kept if σ(α) >
/// threshold (report on differentiable search for BERT, 5.5.1).
///
/// In the report, one step can move α from 5 to −5, because the gradient is multiplied by a factor. The report does not
/// state the factor, and under Adam it would have no effect. Here the learning rate
/// [`gate_rate`](crate::NasSettings::gate_rate) scales the step: at a rate of 10, one step moves α from 5 to −5. Beyond
/// about ±15 the derivative of σ is almost 0, and α could not return. α is therefore clamped to
/// ±[`bound`](Self::bound).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sigmoid {
    /// Initial architecture variable α of every unit (dimension, neuron or head).
    pub start: f64,
    /// Threshold of the gate σ(α) above which a unit (dimension, neuron or head) is kept.
    pub threshold: f64,
    /// Largest |α|, to which α is clamped before each step; at least |start|. `None` for no limit.
    pub bound: Option<f64>,
}

impl Default for Sigmoid {
    /// Initial value 5 and threshold .01, as in the report on differentiable search for BERT. The report does not state
    /// the limit |α| ≤ 5. It follows from the report's learning rate, by which one step moves α from 5 to −5.
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
                Err(Error::argument("sigmoid.bound", "a finite number, at least |start|", bound))
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
