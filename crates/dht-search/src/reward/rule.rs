//! Reward rules: how the loss and the cost of a route become a reward (DHT paper, section 4.3).

use serde::{Deserialize, Serialize};

use super::weighted_loss::CostWeightedLoss;
use crate::error::{Error, Result};

/// Shape of a reward: the function that computes the reward from a loss, or from the ratio ρ = (reference mean) /
/// (cost-weighted loss).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardShape {
    /// Reward κ·ρ, as published in the DHT paper (Meng et al. 2023): a factor κ times the ratio ρ = (reference mean) /
    /// (cost-weighted loss). It is heavy-tailed and has no upper bound as the loss approaches 0, which disturbs the
    /// bandits' ridge regression.
    Ratio,
    /// Reward κ·ln ρ, with a factor κ and the ratio ρ = (reference mean) / (cost-weighted loss). It is 0 at ρ = 1. Its
    /// values at ρ = ½ and ρ = 2 differ in sign only.
    Log,
    /// Reward κ·min(ρ, max): the published reward with an upper limit on the ratio ρ = (reference mean) /
    /// (cost-weighted loss).
    Clipped {
        /// Upper limit on the ratio ρ.
        max: f64,
    },
    /// Reward −loss. The bandit learns only the loss; the known cost is subtracted when arms are [scored](Self::score).
    /// λ can therefore change at run time without retraining. Not in the DHT paper.
    Utility {
        /// Price λ of computation: the loss in nats that equals the cost of the full model.
        lambda: f64,
    },
    /// Reward (loss at an earlier exit) − loss: the gain of the layers between the two exits. The known cost is
    /// subtracted when arms are [scored](Self::score), as in [`Utility`](Self::Utility). Not in the DHT paper.
    ///
    /// A loss depends mostly on the difficulty of the sample and the progress of the training run. Both cancel in the
    /// difference of two losses. The gain requires the losses at the exits that a sample passes before it stops.
    Gain {
        /// Price λ of computation: the loss in nats that equals the cost of the full model.
        lambda: f64,
    },
}

impl RewardShape {
    /// Score by which arms are ranked: the bandit's score, minus λ · cost for [`Utility`](Self::Utility) and
    /// [`Gain`](Self::Gain). The cost is a share of the full model's cost.
    ///
    /// # Examples
    /// ```
    /// use dht_search::reward::RewardShape;
    ///
    /// assert_eq!(RewardShape::Gain { lambda: 0.5 }.score(0.4, 0.5), 0.4 - 0.5 * 0.5);
    /// assert_eq!(RewardShape::Ratio.score(0.4, 0.5), 0.4); // the bandit has learned the cost
    /// ```
    pub fn score(self, bandit_score: f64, cost: f64) -> f64 {
        match self {
            Self::Utility { lambda } | Self::Gain { lambda } => bandit_score - lambda * cost,
            Self::Ratio | Self::Log | Self::Clipped { .. } => bandit_score,
        }
    }
}

/// Samples whose mean cost-weighted loss δ is the reference of a reward.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardMemory {
    /// Mean of the previous batch, as published in the DHT paper (Meng et al. 2023). With
    /// [queues](crate::settings::Dispatch::Queue), where samples wait until a batch of their depth is full, all samples
    /// of a batch have the same depth. The reward then depends on the order of the batches, since any batch after a
    /// deep batch appears cheap.
    PreviousBatch,
    /// Running mean over the samples of all routes. A sample that was added i samples ago has weight decayⁱ.
    RunningMean {
        /// Decay of the weights, above 0 and at most 1. A decay of 1 does not forget; .999 has a memory of about a
        /// thousand samples.
        decay: f64,
    },
}

impl Default for RewardMemory {
    fn default() -> Self {
        Self::RunningMean { decay: 0.999 }
    }
}

/// Reference of a bandit's rewards: a running mean of the cost-weighted loss δ.
///
/// The bandit that selects the depth, or depth and number of heads jointly, has one reference. The bandit that selects
/// only the number of heads has one reference for each group of layers. A reference covers samples of all depths. With
/// a separate reference for each depth, the number of layers would cancel out of the ratio of reference and δ, and the
/// bandit would not learn the cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardReference {
    mean: f64,
    /// Sum of the decayed weights of the samples in the mean; 0 before the first sample.
    weight: f64,
}

impl RewardReference {
    /// Mean cost-weighted loss δ with which the next batch is compared; `None` before the first batch.
    pub fn mean(&self) -> Option<f64> {
        (self.weight > 0.0).then_some(self.mean)
    }

    /// Returns whether a restored reference is valid: its mean and its weight are finite and not negative.
    pub(crate) fn is_possible(&self) -> bool {
        [self.mean, self.weight].iter().all(|value| value.is_finite() && *value >= 0.0)
    }

    fn forget(&mut self) {
        *self = Self::default();
    }

    /// Adds a sample's cost-weighted loss δ to the running mean, in which earlier samples lose weight by the factor
    /// `decay`. The incremental update keeps the mean within the range of the samples.
    fn add(&mut self, delta: CostWeightedLoss, decay: f64) {
        self.weight = self.weight * decay + 1.0;
        self.mean += (delta.value() - self.mean) / self.weight;
    }
}

/// Reward of one sample's route.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reward {
    /// Reward, from which the bandit learns.
    pub value: f64,
    /// Ratio ρ: the reference mean of the cost-weighted loss δ divided by this sample's δ, before the factor κ and the
    /// shape of the reward are applied.
    pub ratio: f64,
}

/// Rule that computes the rewards of one bandit.
///
/// # Examples
/// ```
/// use dht_search::reward::{
///     CostWeightedLoss, RewardMemory, RewardReference, RewardRule, RewardShape,
/// };
///
/// let shape = RewardShape::Ratio;
/// let rule = RewardRule { shape, memory: RewardMemory::PreviousBatch, kappa: 1.0 };
/// let mut reference = RewardReference::default();
/// rule.rewards(&mut reference, &[CostWeightedLoss::of_depth(0.5, 12)?])?; // δ = 6
/// // Half the loss at half the depth: a quarter of the reference's δ.
/// let rewards = rule.rewards(&mut reference, &[CostWeightedLoss::of_depth(0.25, 6)?])?;
/// assert_eq!(rewards[0].value, 4.0);
/// # Ok::<(), dht_search::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardRule {
    /// Function that computes the reward from the loss.
    pub shape: RewardShape,
    /// Samples whose mean cost-weighted loss δ is the reference.
    pub memory: RewardMemory,
    /// Factor κ > 0 of the reward: α, β₁ or β_cp in the DHT paper (Meng et al. 2023).
    pub kappa: f64,
}

impl RewardRule {
    /// Checks the range of each parameter: factor κ, parameter of the shape, and decay of the running mean.
    ///
    /// # Errors
    /// [`Argument`](dht_dynamic::Error::Argument) if κ or the [maximum](RewardShape::Clipped) of ρ is not a finite
    /// number above 0, if λ is not a finite number of at least 0, or if the decay is outside (0, 1].
    pub fn check(&self) -> Result<()> {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        if !positive(self.kappa) {
            return Err(Error::argument("kappa", "a finite number above 0", self.kappa));
        }
        match self.shape {
            RewardShape::Clipped { max } if !positive(max) => {
                return Err(Error::argument("reward_shape.clipped.max", "a finite number above 0", max));
            }
            RewardShape::Utility { lambda } | RewardShape::Gain { lambda } if !lambda.is_finite() || lambda < 0.0 => {
                return Err(Error::argument("reward_shape.lambda", "a finite number, at least 0", lambda));
            }
            _ => {}
        }
        match self.memory {
            RewardMemory::RunningMean { decay } if !(positive(decay) && decay <= 1.0) => {
                let expected = "above 0 and at most 1";
                Err(Error::argument("reward_memory.running_mean.decay", expected, decay))
            }
            _ => Ok(()),
        }
    }

    /// Computes the rewards of a batch by comparison with a reference mean, and then adds the batch to the reference.
    ///
    /// The first batch is compared with its own mean. An empty batch does not change the reference.
    ///
    /// # Errors
    /// [`Argument`](dht_dynamic::Error::Argument) if the shape is [`RewardShape::Gain`] and the gain of a sample is
    /// unknown; the reference then does not change.
    pub fn rewards(&self, reference: &mut RewardReference, batch: &[CostWeightedLoss]) -> Result<Vec<Reward>> {
        let mean = reference.mean().unwrap_or_else(|| {
            let mut own = RewardReference::default();
            batch.iter().for_each(|&delta| own.add(delta, 1.0));
            own.mean
        });
        let rewards = batch.iter().map(|&delta| self.reward(mean, delta)).collect::<Result<_>>()?;
        let decay = match self.memory {
            RewardMemory::RunningMean { decay } => decay,
            RewardMemory::PreviousBatch => {
                if !batch.is_empty() {
                    reference.forget();
                }
                1.0
            }
        };
        batch.iter().for_each(|&delta| reference.add(delta, decay));
        Ok(rewards)
    }

    fn reward(&self, reference_mean: f64, delta: CostWeightedLoss) -> Result<Reward> {
        let ratio = (reference_mean / delta.value()).clamp(f64::MIN_POSITIVE, f64::MAX);
        let value = match self.shape {
            RewardShape::Ratio => self.kappa * ratio,
            RewardShape::Log => self.kappa * ratio.ln(),
            RewardShape::Clipped { max } => self.kappa * ratio.min(max),
            RewardShape::Utility { .. } => -delta.loss(),
            RewardShape::Gain { .. } => {
                let expected = "a known loss at the earlier exit, since the reward is the gain over it";
                delta.gain().ok_or_else(|| Error::argument("gain", expected, "unknown"))?
            }
        };
        Ok(Reward { value: value.clamp(f64::MIN, f64::MAX), ratio })
    }
}

#[cfg(test)]
mod tests;
