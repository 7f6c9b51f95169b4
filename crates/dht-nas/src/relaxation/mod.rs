//! From numbers that a gradient can train to units that are kept or not.

mod gumbel;
mod hard_concrete;
mod sigmoid;
mod softmax;
mod width;

use std::fmt::Debug;

use candle_core::Tensor;
use dht_transformer::model::Gate;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::space::Group;
use crate::error::{Error, Result};

pub use gumbel::GumbelSoftmax;
pub use hard_concrete::HardConcrete;
pub use sigmoid::Sigmoid;
pub use softmax::WeightedSoftmax;
pub use width::WidthSampling;

/// How the units of a group are kept in degrees, so that a gradient trains them.
///
/// A group has architecture variables α, as many as [`start`](Self::start) gives. A training step multiplies the units by
/// [`sample`](Self::sample); the cost counts [`open`](Self::open); the search ends with the units of the highest
/// [`score`](Self::score) or with those above the relaxation's own [threshold](Self::kept), whose gates have
/// [`value`](Self::value).
pub trait Relaxation: Debug + Send + Sync {
    /// α at the beginning.
    fn start(&self, group: &Group, rng: &mut dyn Rng) -> Vec<f32>;

    /// The gates of one training step, differentiable in α: numbers as a layer has units ((heads, head_dim) for outputs), or a
    /// matrix. `share` of the training is done.
    ///
    /// # Errors
    /// What candle reports.
    fn sample(&self, alpha: &Tensor, group: &Group, share: f64, rng: &mut dyn Rng) -> Result<Gate>;

    /// The probability, or the degree, to which each unit is kept, differentiable in α. (units)
    ///
    /// # Errors
    /// What candle reports.
    fn open(&self, alpha: &Tensor, group: &Group) -> Result<Tensor>;

    /// What units are ranked by, over all groups: the higher the sooner kept. (units)
    fn score(&self, alpha: &[f32], group: &Group) -> Vec<f64>;

    /// Whether each unit lies above the relaxation's own threshold; where it has none, whether it is one of the best of its block, of
    /// which this share stays. (units)
    fn kept(&self, alpha: &[f32], group: &Group, share: f64) -> Vec<bool>;

    /// The largest |α| that a training step may begin with.
    fn bound(&self) -> Option<f64> {
        None
    }

    /// The gate of each unit, should it be kept, without noise. (units)
    fn value(&self, alpha: &[f32], group: &Group) -> Vec<f64>;
}

/// The relaxations, with their settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelaxationKind {
    /// σ(α) masks: the report's, for dimensions.
    Sigmoid(Sigmoid),
    /// Softmax weights of each block: the report's, for heads.
    WeightedSoftmax(WeightedSoftmax),
    /// Two classes, kept and dropped, with straight-through.
    GumbelSoftmax(GumbelSoftmax),
    /// Gates that are 0 or 1 with positive probability.
    HardConcrete(HardConcrete),
    /// Widths instead of units.
    WidthSampling(WidthSampling),
}

impl RelaxationKind {
    /// The relaxation.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range.
    pub fn build(&self) -> Result<Box<dyn Relaxation>> {
        Ok(match self {
            Self::Sigmoid(it) => {
                it.check()?;
                Box::new(it.clone())
            }
            Self::WeightedSoftmax(it) => {
                it.check()?;
                Box::new(it.clone())
            }
            Self::GumbelSoftmax(it) => {
                it.check()?;
                Box::new(it.clone())
            }
            Self::HardConcrete(it) => {
                it.check()?;
                Box::new(it.clone())
            }
            Self::WidthSampling(it) => {
                it.check()?;
                Box::new(it.clone())
            }
        })
    }
}

/// The numbers of a group's units in the shape that a layer's gate has.
fn shaped(units: &Tensor, group: &Group) -> Result<Gate> {
    Ok(Gate::Scale(match group.part.is_by_head() {
        true => units.reshape((group.blocks, group.width))?,
        false => units.clone(),
    }))
}

/// σ(x).
fn sigmoid_tensor(x: &Tensor) -> Result<Tensor> {
    Ok((x.neg()?.exp()? + 1.0)?.recip()?)
}

fn sigmoid_of(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// A uniform number that has a logarithm, as its complement has.
fn uniform(rng: &mut dyn Rng) -> f64 {
    rng.random_range(1e-7..1.0 - 1e-7)
}

/// ln u − ln(1 − u), the difference of two Gumbel draws. (units)
fn logistic(alpha: &Tensor, rng: &mut dyn Rng) -> Result<Tensor> {
    let draw = |_| {
        let u = uniform(rng);
        (u.ln() - (1.0 - u).ln()) as f32
    };
    let noise: Vec<f32> = (0..alpha.elem_count()).map(draw).collect();
    Ok(Tensor::from_vec(noise, alpha.dims(), alpha.device())?)
}

/// τ₀·(τ₁/τ₀)^share.
fn annealed(from: f64, to: f64, share: f64) -> f64 {
    from * (to / from).powf(share.clamp(0.0, 1.0))
}

fn positive(field: &'static str, value: f64) -> Result<()> {
    match value > 0.0 && value.is_finite() {
        true => Ok(()),
        false => Err(Error::setting(field, "a finite number above 0", value)),
    }
}

fn finite(field: &'static str, value: f64) -> Result<()> {
    match value.is_finite() {
        true => Ok(()),
        false => Err(Error::setting(field, "a finite number", value)),
    }
}

fn share(field: &'static str, value: f64) -> Result<()> {
    match value > 0.0 && value < 1.0 {
        true => Ok(()),
        false => Err(Error::setting(field, "a number between 0 and 1", value)),
    }
}

#[cfg(test)]
mod tests;
