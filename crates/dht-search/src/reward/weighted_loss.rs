//! Cost-weighted loss δ of a sample.

use crate::error::{Error, Result};

/// Loss of one sample, and its cost-weighted loss δ: the loss multiplied by the numbers of layers and heads of the
/// sample's route. δ is finite and positive.
///
/// It also contains the decrease of the loss since an earlier exit, if known, which is the reward of
/// [`RewardShape::Gain`](crate::reward::RewardShape::Gain).
///
/// # Examples
/// ```
/// use dht_search::reward::CostWeightedLoss;
///
/// let delta = CostWeightedLoss::of_depth_and_heads(0.5, 6, 8)?.with_gain(0.2);
/// assert_eq!((delta.loss(), delta.value(), delta.gain()), (0.5, 24.0, Some(0.2)));
/// # Ok::<(), dht_search::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostWeightedLoss {
    loss: f64,
    value: f64,
    gain: Option<f64>,
}

impl CostWeightedLoss {
    /// Smallest loss from which the cost-weighted loss δ is computed; smaller losses are replaced by this value. Not in
    /// the DHT paper.
    ///
    /// In f32 a cross-entropy is 0 once the probability rounds to 1, and otherwise at least about 1e-7. A loss of 0
    /// would give an infinite reward.
    pub const SMALLEST_LOSS: f64 = 1e-7;

    /// Computes δ_L = loss · L, with the number of layers L, for the depth bandit.
    ///
    /// # Errors
    /// * [`Error::Loss`] if the loss is negative or not finite.
    /// * [`Argument`](dht_dynamic::Error::Argument) if `depth` is 0.
    pub fn of_depth(loss: f64, depth: usize) -> Result<Self> {
        Self::of_depth_and_heads(loss, depth, 1)
    }

    /// Computes loss · L · H, with L layers and H heads: δ_H of the head-count bandit, with the heads of a group of
    /// layers, or δ_cp of the joint bandit.
    ///
    /// # Errors
    /// * [`Error::Loss`] if the loss is negative or not finite.
    /// * [`Argument`](dht_dynamic::Error::Argument) if `depth` or `heads` is 0.
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

    /// Adds the gain in nats: the loss at an earlier exit minus this loss. A gain that is not finite, because the loss
    /// at the earlier exit is unknown, is stored as `None`.
    #[must_use]
    pub fn with_gain(self, gain: f64) -> Self {
        Self { gain: Some(gain).filter(|gain| gain.is_finite()), ..self }
    }

    /// Loss of the sample, without the limit of [`Self::SMALLEST_LOSS`].
    pub fn loss(self) -> f64 {
        self.loss
    }

    /// Cost-weighted loss δ.
    pub fn value(self) -> f64 {
        self.value
    }

    /// Decrease of the loss since an earlier exit, in nats; `None` if it is unknown.
    pub fn gain(self) -> Option<f64> {
        self.gain
    }
}
