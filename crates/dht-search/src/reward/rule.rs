//! Losses and costs of a route mapped to bandit feedback: shapes, references, rules (paper, section 4.3).

use serde::{Deserialize, Serialize};

use super::weighted_loss::CostWeightedLoss;
use crate::error::{Error, Result};

/// What a bandit is given for a ratio ρ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardShape {
    /// κ·ρ, as printed: without bound as the loss nears 0, and heavy-tailed, which a ridge regression follows.
    Ratio,
    /// κ·ln ρ: 0 where nothing changed, and half as good is as far from it as twice as good.
    Log,
    /// κ·min(ρ, max).
    Clipped {
        /// The largest ρ that counts.
        max: f64,
    },
    /// −loss, no ratio and no κ: the bandit learns the loss alone, and the known cost enters when arms are
    /// [scored](Self::score). Not in the paper. λ can so be changed at run time without learning anew.
    Utility {
        /// Loss that a whole model's cost is worth, λ.
        lambda: f64,
    },
    /// (loss at the exit before) − loss: what the layers in between gained, with the known cost as in
    /// [`Utility`](Self::Utility). The difference on one sample is free of how hard that sample is and of how far the
    /// training has come, which are most of a loss. Not in the paper; needs the losses of the exits on the way.
    Gain {
        /// Loss that a whole model's cost is worth, λ.
        lambda: f64,
    },
}

impl Default for RewardShape {
    fn default() -> Self {
        Self::Clipped { max: 4.0 }
    }
}

impl RewardShape {
    /// The number by which arms are ranked: the bandit's own score, less λ · cost for [`Utility`](Self::Utility)
    /// and [`Gain`](Self::Gain), where the cost is the route's share of the full model.
    pub fn score(self, bandit_score: f64, cost: f64) -> f64 {
        match self {
            Self::Utility { lambda } | Self::Gain { lambda } => bandit_score - lambda * cost,
            Self::Ratio | Self::Log | Self::Clipped { .. } => bandit_score,
        }
    }
}

/// What δ is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardMemory {
    /// The mean of the batch before, as printed. With queues, where a batch has one depth, this pays by order of
    /// arrival: whatever follows a deep batch looks cheap.
    PreviousBatch,
    /// A running mean over the samples of all routes, sample i ago counting retentionⁱ.
    RunningMean {
        /// Between 0 and 1; 1 forgets nothing, .999 remembers about a thousand samples.
        retention: f64,
    },
}

impl Default for RewardMemory {
    fn default() -> Self {
        Self::RunningMean { retention: 0.999 }
    }
}

/// The δ seen so far, as far as it is remembered: one for UCB_L or UCB_cp, one for each group for UCB_H, each for the
/// whole stream of samples (one a queue would cancel L, and the bandit would learn nothing of cost).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardReference {
    mean: f64,
    /// How many samples the mean stands for; 0 before the first.
    weight: f64,
}

impl RewardReference {
    /// The mean δ that the next batch is compared with; `None` before the first batch.
    pub fn mean(&self) -> Option<f64> {
        (self.weight > 0.0).then_some(self.mean)
    }

    /// Whether this can have come from samples: δ is positive, and so is what it counts.
    pub(crate) fn is_possible(&self) -> bool {
        [self.mean, self.weight].iter().all(|number| number.is_finite() && *number >= 0.0)
    }

    fn forget(&mut self) {
        *self = Self::default();
    }

    /// Adds a sample after ageing what is there; the increments keep the mean between its samples.
    fn add(&mut self, delta: CostWeightedLoss, retention: f64) {
        self.weight = self.weight * retention + 1.0;
        self.mean += (delta.value() - self.mean) / self.weight;
    }
}

/// What one sample's route earned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reward {
    /// What the bandit is given.
    pub value: f64,
    /// ρ, before κ and the shape: the usual δ over this one's.
    pub ratio: f64,
}

/// How rewards are made for one bandit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardRule {
    /// What is made of the ratio.
    pub shape: RewardShape,
    /// What δ is compared with.
    pub memory: RewardMemory,
    /// The factor κ > 0: α, β₁ or β_cp in the print.
    pub kappa: f64,
}

impl RewardRule {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Setting`] when κ or the clip is not finite and positive, λ not finite and at least 0, or the retention
    /// not above 0 and at most 1.
    pub fn check(&self) -> Result<()> {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        if !positive(self.kappa) {
            return Err(Error::setting("kappa", "a finite number above 0", self.kappa));
        }
        match self.shape {
            RewardShape::Clipped { max } if !positive(max) => {
                return Err(Error::setting("reward_shape.clipped.max", "a finite number above 0", max));
            }
            RewardShape::Utility { lambda } | RewardShape::Gain { lambda } if !lambda.is_finite() || lambda < 0.0 => {
                return Err(Error::setting("reward_shape.lambda", "a finite number, 0 or more", lambda));
            }
            _ => {}
        }
        match self.memory {
            RewardMemory::RunningMean { retention } if !(positive(retention) && retention <= 1.0) => {
                let expected = "above 0 and at most 1";
                Err(Error::setting("reward_memory.running_mean.retention", expected, retention))
            }
            _ => Ok(()),
        }
    }

    /// The rewards of a batch, compared with what came before it; then the batch is remembered.
    ///
    /// The first batch is compared with itself. An empty batch changes nothing: for UCB_H the reference is so the last
    /// batch that had the group.
    ///
    /// # Errors
    /// [`Error::Setting`] for [`RewardShape::Gain`] where a sample's gain is not known; the reference is as before then.
    pub fn rewards(&self, reference: &mut RewardReference, batch: &[CostWeightedLoss]) -> Result<Vec<Reward>> {
        let usual = reference.mean().unwrap_or_else(|| {
            let mut own = RewardReference::default();
            batch.iter().for_each(|&delta| own.add(delta, 1.0));
            own.mean
        });
        let rewards = batch.iter().map(|&delta| self.reward(usual, delta)).collect::<Result<_>>()?;
        let retention = match self.memory {
            RewardMemory::RunningMean { retention } => retention,
            RewardMemory::PreviousBatch => {
                if !batch.is_empty() {
                    reference.forget();
                }
                1.0
            }
        };
        batch.iter().for_each(|&delta| reference.add(delta, retention));
        Ok(rewards)
    }

    fn reward(&self, usual: f64, delta: CostWeightedLoss) -> Result<Reward> {
        let ratio = (usual / delta.value()).clamp(f64::MIN_POSITIVE, f64::MAX);
        let value = match self.shape {
            RewardShape::Ratio => self.kappa * ratio,
            RewardShape::Log => self.kappa * ratio.ln(),
            RewardShape::Clipped { max } => self.kappa * ratio.min(max),
            RewardShape::Utility { .. } => -delta.loss(),
            RewardShape::Gain { .. } => {
                let expected = "known: the loss at the exit before, for a reward that is the gain over it";
                delta.gain().ok_or_else(|| Error::setting("gain", expected, "unknown"))?
            }
        };
        Ok(Reward { value: value.clamp(f64::MIN, f64::MAX), ratio })
    }
}

#[cfg(test)]
mod tests;
