//! Binary reward of the attention heads that a sample kept.

use serde::{Deserialize, Serialize};

/// Rule for the binary reward that the head-set bandit receives for each kept head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadFeedback {
    /// Reward 1 if the [ratio](crate::reward::Reward::ratio) ρ is above 1, which means that the route was better than
    /// the reference mean; otherwise 0. The reward factor κ has no effect.
    #[default]
    Standard,
    /// Reward 1 if the head is more important for the sample than the running mean over the heads of its group of
    /// layers; otherwise 0. Not in the DHT paper.
    ///
    /// The importance is Σ |∂L/∂ξ| / (1 − exp(−L)), with the sample's loss L and a gate ξ on the head, summed over the
    /// layers of the group. The numerator is the head importance of Michel et al. 2019. Each head of a sample has its
    /// own reward. The gradients are a by-product of training steps, so that held-out texts give no such reward.
    Gradient,
    /// Reward 0 if κ·ρ > 1, with the reward factor κ and the ratio ρ; otherwise 1. This is the DHT paper's formula,
    /// which contradicts its text ("1 is more effective").
    AsPublished,
}

impl HeadFeedback {
    /// Returns whether the kept heads have reward 1, from the route's ratio ρ and the factor κ. `None` for
    /// [`Gradient`](Self::Gradient), which depends on neither.
    pub fn rewarded(self, ratio: f64, kappa: f64) -> Option<bool> {
        match self {
            Self::Standard => Some(ratio > 1.0),
            Self::AsPublished => Some(kappa * ratio <= 1.0),
            Self::Gradient => None,
        }
    }
}
