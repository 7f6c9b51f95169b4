//! Priors of logistic posteriors.

use serde::{Deserialize, Serialize};

/// Prior of each weight of a logistic posterior.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum TsPrior {
    /// N(0, 1/λ) for each weight.
    Gaussian {
        /// The precision λ > 0.
        #[serde(alias = "precision")]
        prior_precision: f64,
    },
    /// Prior published in the paper: mean 1 and precision 0 for each weight.
    ///
    /// A precision of 0 is improper (an infinite variance), so a floor replaces it. The mean of ones prefers arms with
    /// large features. For both reasons it is not the default.
    #[serde(alias = "AsPrinted")]
    AsPublished {
        /// Precision used instead of 0.
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
