//! Settings of context scaling, and prior of the head-set bandit, which selects heads.

use serde::{Deserialize, Serialize};

/// Normalisation of contexts: each dimension x is replaced by z = (x − μ)/σ, clipped at 5 standard deviations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// Mean μ and deviation σ of the first [`warm_up_contexts`](crate::SearchSettings::warm_up_contexts), whose routes
    /// are random. Then μ and σ are frozen and the bandits start to learn, so that a posterior sees only one scaling.
    #[default]
    FrozenAfterWarmUp,
    /// Mean μ and deviation σ of all contexts so far, as published (DHT paper, appendix 7.2). There is no warm-up: the
    /// bandits select and learn from the first batch on. A batch is scaled by the statistics of its own contexts and of
    /// all contexts from which the bandits have learned. Inference uses the statistics at the end of the training run.
    ///
    /// **Warning.** A posterior that a bandit has learned under one scaling means something else under the next
    /// scaling, mainly in the first batches, while μ and σ still change. With queues, the bandits learn from a sample
    /// under a later scaling than the scaling with which they routed it. Not possible for the sequential router, which
    /// decides at every exit.
    Rolling,
}

/// Prior mean of the head-set bandit's weights. The prior precision is
/// [`head_set_prior_precision`](crate::SearchSettings::head_set_prior_precision).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadSetPrior {
    /// Mean 0: no head is preferred.
    #[default]
    Gaussian,
    /// Mean 1, as published (DHT paper, section 3.2). This prior prefers heads in contexts with a large sum. The
    /// published precision of 0 is an improper prior (infinite variance); the precision in the settings replaces it.
    AsPublished,
}

impl HeadSetPrior {
    /// Prior mean of each weight.
    pub(crate) fn mean(self) -> f64 {
        match self {
            Self::Gaussian => 0.0,
            Self::AsPublished => 1.0,
        }
    }
}
