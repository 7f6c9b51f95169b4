//! Cost-weighted loss δ.

use crate::error::{Error, Result};

/// Loss of one sample, and the cost-weighted loss δ: the loss multiplied by the route's number of layers and number
/// of heads. δ is finite and positive. Also contains the gain over an earlier exit if that gain is known; the gain is
/// the reward of [`RewardShape::Gain`](crate::reward::RewardShape::Gain).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostWeightedLoss {
    loss: f64,
    value: f64,
    gain: Option<f64>,
}

impl CostWeightedLoss {
    /// Smallest loss for computing δ; smaller losses are replaced by it. In f32 a cross-entropy is 0 once the
    /// probability rounds to 1, and otherwise at least about 1e-7. Without this limit a single text with a loss of 0 would
    /// have an infinite reward. Not in the paper.
    pub const SMALLEST_LOSS: f64 = 1e-7;

    /// δ_L = loss · L, for the depth bandit.
    ///
    /// # Errors
    /// [`Error::Loss`] when the loss is negative or not finite, [`Argument`](dht_dynamic::Error::Argument) when `depth` is 0.
    pub fn of_depth(loss: f64, depth: usize) -> Result<Self> {
        Self::of_depth_and_heads(loss, depth, 1)
    }

    /// δ_H = loss · L · H_group for the head-count bandit, δ_cp = loss · L · H for the joint bandit.
    ///
    /// # Errors
    /// [`Error::Loss`] when the loss is negative or not finite, [`Argument`](dht_dynamic::Error::Argument) when `depth` or `heads` is 0.
    pub fn of_depth_and_heads(loss: f64, depth: usize, heads: usize) -> Result<Self> {
        if !loss.is_finite() || loss < 0.0 {
            return Err(Error::Loss { loss });
        }
        for (field, count) in [("depth of a route", depth), ("heads of a route", heads)] {
            if count == 0 {
                return Err(Error::argument(field, "at least 1", count));
            }
        }
        // The product of a loss near f64::MAX would overflow, and its ratio with itself would not be 1.
        let value = (loss.max(Self::SMALLEST_LOSS) * depth as f64 * heads as f64).min(f64::MAX);
        Ok(Self { loss, value, gain: None })
    }

    /// Adds the gain in nats: the loss at an earlier exit minus this loss. If the loss at the earlier exit is unknown,
    /// the gain is not finite and is stored as `None`.
    #[must_use]
    pub fn with_gain(self, gain: f64) -> Self {
        Self { gain: Some(gain).filter(|gain| gain.is_finite()), ..self }
    }

    /// Loss, without the limit of [`Self::SMALLEST_LOSS`].
    pub fn loss(self) -> f64 {
        self.loss
    }

    /// Cost-weighted loss δ.
    pub fn value(self) -> f64 {
        self.value
    }

    /// Gain, where it is known.
    pub fn gain(self) -> Option<f64> {
        self.gain
    }
}
