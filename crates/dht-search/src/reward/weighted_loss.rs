//! Losses weighted by the cost of a route.

use crate::error::{Error, Result};

/// The loss below which δ does not fall. A cross-entropy in f32 is 0 once the probability rounds to 1, and otherwise
/// hardly below 1e-7; without this one perfectly learned text would have an infinite reward. Ours.
pub const SMALLEST_LOSS: f64 = 1e-7;

/// The loss of one sample and δ, its product with the route's layers and heads. δ is finite and positive. Beside them,
/// where it is known, the gain over an earlier exit, which [`RewardShape::Gain`](crate::reward::RewardShape::Gain) rewards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostWeightedLoss {
    loss: f64,
    value: f64,
    gain: Option<f64>,
}

impl CostWeightedLoss {
    /// δ_L = loss · L, for UCB_L.
    ///
    /// # Errors
    /// [`Error::Loss`] when the loss is negative or not finite, [`Error::Setting`] when `depth` is 0.
    pub fn of_depth(loss: f64, depth: usize) -> Result<Self> {
        Self::of_depth_and_heads(loss, depth, 1)
    }

    /// δ_H = loss · L · H_group for UCB_H, δ_cp = loss · L · H for UCB_cp.
    ///
    /// # Errors
    /// [`Error::Loss`] when the loss is negative or not finite, [`Error::Setting`] when `depth` or `heads` is 0.
    pub fn of_depth_and_heads(loss: f64, depth: usize, heads: usize) -> Result<Self> {
        if !loss.is_finite() || loss < 0.0 {
            return Err(Error::Loss { loss });
        }
        for (field, count) in [("depth of a route", depth), ("heads of a route", heads)] {
            if count == 0 {
                return Err(Error::setting(field, "at least 1", count));
            }
        }
        // A loss near f64's largest would overflow in the product, and its ratio with itself would not be 1.
        let value = (loss.max(SMALLEST_LOSS) * depth as f64 * heads as f64).min(f64::MAX);
        Ok(Self { loss, value, gain: None })
    }

    /// The same with the gain, in nats: the loss at an earlier exit less the loss here. A gain that is not finite, since
    /// nothing is known of the earlier exit, is none.
    #[must_use]
    pub fn with_gain(self, gain: f64) -> Self {
        Self { gain: Some(gain).filter(|gain| gain.is_finite()), ..self }
    }

    /// The loss, as it was.
    pub fn loss(self) -> f64 {
        self.loss
    }

    /// δ.
    pub fn value(self) -> f64 {
        self.value
    }

    /// The gain, where it is known.
    pub fn gain(self) -> Option<f64> {
        self.gain
    }
}
