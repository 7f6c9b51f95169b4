//! The trait of relaxations.

use std::fmt::Debug;

use candle_core::Tensor;
use dht_transformer::model::Gate;
use rand::Rng;

use crate::error::Result;
use crate::space::Group;

/// Continuous relaxation of the selection of a group's units, so that a gradient trains it.
///
/// A group has architecture variables α, whose number is that of [`start`](Self::start). A training step multiplies the
/// units by [`sample`](Self::sample); the cost counts [`open`](Self::open). The search ends with the units of the
/// highest [`score`](Self::score) or with those above the relaxation's own [threshold](Self::kept), whose gates have
/// [`value`](Self::value).
pub trait Relaxation: Debug + Send + Sync {
    /// The initial α.
    fn start(&self, group: &Group, rng: &mut dyn Rng) -> Vec<f32>;

    /// Samples the gates of one training step, differentiable in α: numbers in the shape of a layer's units ((heads,
    /// head_dim) for outputs), or a matrix. `share` is the completed share of the training.
    ///
    /// # Errors
    /// Errors of candle.
    fn sample(&self, alpha: &Tensor, group: &Group, share: f64, rng: &mut dyn Rng) -> Result<Gate>;

    /// The probability, or the degree, to which each unit is kept, differentiable in α. Shape: (units).
    ///
    /// # Errors
    /// Errors of candle.
    fn open(&self, alpha: &Tensor, group: &Group) -> Result<Tensor>;

    /// Scores that rank units over all groups: units with higher scores are kept first. Shape: (units).
    fn score(&self, alpha: &[f32], group: &Group) -> Vec<f64>;

    /// Returns whether each unit lies above the relaxation's own threshold. Without a threshold, returns whether it is
    /// among the best of its block, of which this share is kept. Shape: (units).
    fn kept(&self, alpha: &[f32], group: &Group, share: f64) -> Vec<bool>;

    /// The largest |α| at the start of a training step.
    fn bound(&self) -> Option<f64> {
        None
    }

    /// The gate of each unit without noise, if the unit is kept. Shape: (units).
    fn value(&self, alpha: &[f32], group: &Group) -> Vec<f64>;
}
