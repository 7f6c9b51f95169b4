//! Priors of logistic posteriors.

use serde::{Deserialize, Serialize};

/// The prior of each weight of a logistic posterior.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum TsPrior {
    /// N(0, 1/λ) for each weight.
    Gaussian {
        /// The precision λ > 0.
        #[serde(alias = "precision")]
        prior_precision: f64,
    },
    /// The prior that the paper publishes: mean 1 and precision 0 for each weight.
    ///
    /// A precision of 0 is improper (an infinite variance), so a floor replaces it. The mean of ones prefers
    /// whatever has large features. Both are why this is not the default.
    #[serde(alias = "AsPrinted")]
    AsPublished {
        /// The precision that stands for 0.
        #[serde(alias = "precision_floor")]
        prior_precision_floor: f64,
    },
}

impl TsPrior {
    pub(crate) fn mean(self) -> f64 {
        match self {
            Self::Gaussian { .. } => 0.0,
            Self::AsPublished { .. } => 1.0,
        }
    }

    pub(super) fn precision(self) -> f64 {
        match self {
            Self::Gaussian { prior_precision } => prior_precision,
            Self::AsPublished { prior_precision_floor } => prior_precision_floor,
        }
    }
}
