//! Trait of relaxations, which make the selection of units (dimensions, neurons, heads) trainable by gradients.

use std::fmt::Debug;

use candle_core::Tensor;
use dht_transformer::model::Gate;
use rand::Rng;

use crate::error::Result;
use crate::space::Group;

/// Continuous relaxation of the selection of units (dimensions, neurons, heads): replaces the decision whether a unit
/// is kept by gates that gradients can train. The units of a [group](Group) are relaxed together: one part of a layer,
/// or of several layers jointly.
///
/// Each group has trainable architecture variables α, which [`start`](Self::start) initializes. In a training step,
/// [`sample`](Self::sample) draws the gates, which multiply the outputs of the units. [`open`](Self::open) is the
/// degree to which each unit is kept, by which the unit counts in the expected cost. At the end of the search, the
/// units with the highest [`score`](Self::score) are selected, or those above the relaxation's own
/// [threshold](Self::kept). [`value`](Self::value) returns their final gates.
pub trait Relaxation: Debug + Send + Sync {
    /// Initial values of the architecture variables α of a group.
    fn start(&self, group: &Group, rng: &mut dyn Rng) -> Vec<f32>;

    /// Samples the gates for one training step, differentiable in the architecture variables α. Gates are one factor
    /// for each unit, with the shape (heads, head_dim) for output dimensions of heads and otherwise (units). A
    /// relaxation that mixes units returns a matrix of shape (width, width) for a block of `width` units. `share` is
    /// the completed share of the training steps.
    ///
    /// # Errors
    /// Returns an error if a candle operation fails.
    fn sample(&self, alpha: &Tensor, group: &Group, share: f64, rng: &mut dyn Rng) -> Result<Gate>;

    /// Probability that each unit is kept, or degree to which it is kept, from 0 to 1. It determines the expected cost,
    /// and is differentiable in the architecture variables α. Shape: (units).
    ///
    /// # Errors
    /// Returns an error if a candle operation fails.
    fn open(&self, alpha: &Tensor, group: &Group) -> Result<Tensor>;

    /// Scores by which units of all groups are ranked. Units with higher scores are kept first. Shape: (units).
    fn score(&self, alpha: &[f32], group: &Group) -> Vec<f64>;

    /// Returns for each unit whether it is above the relaxation's own threshold. A relaxation without a threshold keeps
    /// the units with the highest scores, a share `share` of each block. Shape: (units).
    fn kept(&self, alpha: &[f32], group: &Group, share: f64) -> Vec<bool>;

    /// Largest |α| of the architecture variables, to which they are clamped before each training step. `None` for no
    /// limit.
    fn bound(&self) -> Option<f64> {
        None
    }

    /// Final gates of the units, without noise, if they are kept. Shape: (units).
    fn value(&self, alpha: &[f32], group: &Group) -> Vec<f64>;
}
