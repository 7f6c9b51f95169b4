//! Settings of context scaling, and prior of the bandit that selects heads.

use serde::{Deserialize, Serialize};

/// Normalisation of contexts (input vectors of bandits): each dimension x is replaced by z = (x − μ)/σ, clipped at 5
/// standard deviations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// Mean μ and deviation σ of the first contexts, whose number is
    /// [`warm_up_contexts`](crate::SearchSettings::warm_up_contexts). Their routes are random. Then μ and σ are frozen
    /// and the bandits start to learn, so that all updates of a posterior have the same scaling.
    #[default]
    FrozenAfterWarmUp,
    /// Mean μ and deviation σ of all contexts so far, as published (DHT paper, appendix 7.2). There is no warm-up: the
    /// bandits select and learn from the first batch on. A batch is scaled by the statistics of its own contexts and of
    /// all contexts from which the bandits have learned. Inference uses the statistics at the end of the training run.
    ///
    /// **Warning.** While μ and σ change, mainly in the first batches, a posterior mixes updates with different
    /// scalings. With queues, a sample is routed with one scaling and learned from with a later one. The sequential
    /// router, which decides at every exit, does not support rolling statistics.
    Rolling,
}

/// Prior mean of the head-set bandit's weights; this bandit selects the heads. The prior precision is
/// [`head_set_prior_precision`](crate::SearchSettings::head_set_prior_precision).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadSetPrior {
    /// Prior mean 0: no head is preferred.
    #[default]
    Gaussian,
    /// Prior mean 1, as published (DHT paper, section 3.2). This prior prefers heads in contexts with a large sum. The
    /// published precision of 0 is an improper prior (infinite variance); the precision in the settings replaces it.
    AsPublished,
}

impl HeadSetPrior {
    pub(crate) fn mean(self) -> f64 {
        match self {
            Self::Gaussian => 0.0,
            Self::AsPublished => 1.0,
        }
    }
}
