//! The trait of all relaxations.

use std::fmt::Debug;

use candle_core::Tensor;
use dht_transformer::model::Gate;
use rand::Rng;

use crate::error::Result;
use crate::space::Group;

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
