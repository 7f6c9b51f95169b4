//! The binary reward of a head.

use serde::{Deserialize, Serialize};

/// Which way the binary reward of TSB points.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadFeedback {
    /// 1 when ρ > 1, that is when the route did better than usual. κ plays no part.
    #[default]
    Standard,
    /// 1 when a gate ξ on the head moves the sample's log-odds more than heads of its group did on average lately:
    /// Σ |∂L/∂ξ| / (1 − exp(−L)) over the layers of the group, L being the sample's own loss (Michel et al. 2019 take the
    /// numerator). One number a head instead of one for all heads of a sample, free from the backward pass. It is known
    /// after each training step, and so always from texts that are trained on. Ours.
    #[serde(alias = "slope")]
    Gradient,
    /// 0 when κ·ρ > 1, and else 1: the printed formula, which contradicts its own text ("1 is more effective").
    #[serde(alias = "as_printed")]
    AsPublished,
}

impl HeadFeedback {
    /// Whether the heads of a route are rewarded, given its ratio ρ and the rule's κ; `None` where that is not what they
    /// are judged by.
    pub fn rewarded(self, ratio: f64, kappa: f64) -> Option<bool> {
        match self {
            Self::Standard => Some(ratio > 1.0),
            Self::AsPublished => Some(kappa * ratio <= 1.0),
            Self::Gradient => None,
        }
    }
}
