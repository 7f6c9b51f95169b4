//! Binary reward of a head.

use serde::{Deserialize, Serialize};

/// Rule for the binary reward that the head-set bandit receives for each kept head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadFeedback {
    /// The reward is 1 if the [ratio](crate::reward::Reward::ratio) ρ is above 1, that is, if the route was better than
    /// the reference mean. The reward factor κ has no effect.
    #[default]
    Standard,
    /// The reward is 1 if a gate ξ on the head changes the sample's log-odds more than the running mean over the heads
    /// of its group of layers. Not in the DHT paper.
    ///
    /// The change is Σ |∂L/∂ξ| / (1 − exp(−L)), where L is the sample's own loss and the sum is over the layers of the
    /// group. The numerator is the head importance of Michel et al. 2019. Each head has its own reward, instead of one
    /// reward for all heads of a sample. The backward pass computes the gradients anyway. Only texts that are trained
    /// on give this reward, since the gradients come from their training step.
    Gradient,
    /// The reward is 0 if κ·ρ > 1, for the reward factor κ and the ratio ρ, otherwise 1: the DHT paper's published
    /// formula, which contradicts its text ("1 is more effective").
    AsPublished,
}

impl HeadFeedback {
    /// Returns whether the heads of a route are rewarded, from the route's ratio ρ and the factor κ. `None` for
    /// [`Gradient`](Self::Gradient), which depends on neither.
    pub fn rewarded(self, ratio: f64, kappa: f64) -> Option<bool> {
        match self {
            Self::Standard => Some(ratio > 1.0),
            Self::AsPublished => Some(kappa * ratio <= 1.0),
            Self::Gradient => None,
        }
    }
}
