//! Trait of relaxations.

use std::fmt::Debug;

use candle_core::Tensor;
use dht_transformer::model::Gate;
use rand::Rng;

use crate::error::Result;
use crate::space::Group;

/// Continuous relaxation of the selection of units, which gradients can train. The units of one [group](Group) are
/// relaxed together: one part of a layer, or of several layers jointly.
///
/// A group has architecture variables α; [`start`](Self::start) gives their number and initial values. A training step
/// multiplies the units by the gates that [`sample`](Self::sample) draws. The cost weights each unit by the degree to
/// which the unit is kept, given by [`open`](Self::open). The search ends with the units of the highest
/// [`score`](Self::score), or with the units above the relaxation's own [threshold](Self::kept). [`value`](Self::value)
/// gives the final gates of these units.
pub trait Relaxation: Debug + Send + Sync {
    /// Initial architecture variables α of a group.
    fn start(&self, group: &Group, rng: &mut dyn Rng) -> Vec<f32>;

    /// Samples the gates of one training step, differentiable in the architecture variables α. The gates are factors of
    /// the units, of shape (heads, head_dim) for outputs of heads and (units) otherwise. Relaxations that mix units
    /// return a matrix (width, width) for a block of `width` units. `share` is the completed share of the training
    /// steps.
    ///
    /// # Errors
    /// Errors of candle.
    fn sample(&self, alpha: &Tensor, group: &Group, share: f64, rng: &mut dyn Rng) -> Result<Gate>;

    /// Probability or degree to which each unit is kept, differentiable in α. Shape: (units).
    ///
    /// # Errors
    /// Errors of candle.
    fn open(&self, alpha: &Tensor, group: &Group) -> Result<Tensor>;

    /// Scores that rank units over all groups. Units with higher scores are kept first. Shape: (units).
    fn score(&self, alpha: &[f32], group: &Group) -> Vec<f64>;

    /// Returns for each unit whether it lies above the relaxation's own threshold. A relaxation without a threshold
    /// keeps the share `share` of the units of each block, those with the highest scores. Shape: (units).
    fn kept(&self, alpha: &[f32], group: &Group, share: f64) -> Vec<bool>;

    /// Limit of |α| to which the architecture variables α are clamped at the start of a training step; `None` for no
    /// limit.
    fn bound(&self) -> Option<f64> {
        None
    }

    /// Gate without noise that each unit has if it is kept. Shape: (units).
    fn value(&self, alpha: &[f32], group: &Group) -> Vec<f64>;
}
