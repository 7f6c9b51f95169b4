//! Settings of the routers: their kind, their contexts, and the arms and pinned heads of the head-set bandit.

use std::collections::BTreeSet;

use dht_dynamic::router::LeavingRule;
use serde::{Deserialize, Serialize};

use super::ranges::check_number;
use crate::error::{Error, Result};

/// Value of a setting for each kind of bandit: depth, head-count and joint.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerBandit {
    /// Value for the depth bandit, and for the bandits at the exits of a [sequential
    /// router](RouterKind::SequentialBandit).
    pub depth: f64,
    /// Value for the head-count bandit.
    pub heads: f64,
    /// Value for the joint bandit.
    pub arms: f64,
}

impl PerBandit {
    /// Creates a setting with the same value for all bandits.
    pub const fn all(value: f64) -> Self {
        Self { depth: value, heads: value, arms: value }
    }

    pub(super) fn check(self, field: &'static str, least: f64) -> Result<()> {
        [self.depth, self.heads, self.arms].into_iter().try_for_each(|value| check_number(field, value, least))
    }
}

/// Contents of the bandits' contexts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContextDesign {
    /// The DHT paper's context (appendix 7.1): the pooled hidden state x and the feature z of the arm, \[x ; z\]. It
    /// has 168 dimensions for the depth bandit, 87 for the head-count bandit (including the group's one-hot vector),
    /// and 13 for the head-set bandit. Each arm has separate weights, so that z is constant for an arm and acts as a
    /// bias. The FLOPs of the passes that compute z are counted.
    Paper,
    /// Pooled hidden state x and a constant, \[x ; 1\], which need no passes before training. Not in the DHT paper. For
    /// spaces without a classifier after the base layers (P-DHT).
    State,
    /// Three signals: the length ln tokens / ln 512, and two signals of the probabilities p of C classes at the exit
    /// after the base layers. These are the entropy −Σ p·ln p / ln C and the margin p₁ − p₂. Signals are not
    /// normalised. Not in the DHT paper. Requires that this exit is trained.
    Signals,
    /// Pooled state and the three [signals](Self::Signals).
    StateAndSignals,
}

impl ContextDesign {
    /// Returns whether the context contains the pooled state.
    pub fn has_state(self) -> bool {
        self != Self::Signals
    }

    /// Returns whether the context contains the signals of the exit after the base layers.
    pub fn has_signals(self) -> bool {
        matches!(self, Self::Signals | Self::StateAndSignals)
    }

    /// Returns whether the context contains features of the arms.
    pub fn has_arm_features(self) -> bool {
        self == Self::Paper
    }
}

/// Router that decides the depth of a sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RouterKind {
    /// Linear bandit that decides once, after the base layers, as in the DHT paper (Meng et al. 2023). Its arms are
    /// exits in a tree search, and routes in an integrated search.
    #[default]
    Bandit,
    /// Linear bandits that decide at every exit. The bandit of an exit predicts the gain of each deeper exit, and the
    /// sample continues while one gain exceeds its price. Not in the DHT paper. Requires a tree space, training without
    /// queues, and [`RewardShape::Gain`](crate::reward::RewardShape::Gain).
    SequentialBandit,
    /// Threshold on the entropy of the exit's probabilities at every exit, as in FastBERT (Liu et al. 2020). The
    /// threshold does not learn. Requires a tree space and training without queues. Bandits select the heads, with the
    /// λ of the rewards; the threshold has no effect on heads.
    EntropyThreshold {
        /// Threshold: a sample leaves where the normalised entropy −Σ p·ln p / ln C of the C class probabilities is
        /// below it. The threshold is a finite number, at least 0. It is the router's speed: at 0 no sample leaves
        /// early, above 1 every sample leaves at the first exit.
        threshold: f64,
    },
    /// Threshold on 1 − max p of the exit's probabilities at every exit. The threshold does not learn. Requires a
    /// tree space and training without queues. Bandits select the heads, with the λ of the rewards; the threshold has
    /// no effect on heads.
    ConfidenceThreshold {
        /// Threshold: a sample leaves where 1 − max p is below it, for the class probabilities p. The threshold is a
        /// finite number, at least 0. It is the router's speed: at 0 no sample leaves early, from 1 on every sample
        /// leaves at the first exit.
        threshold: f64,
    },
    /// Patience: a sample leaves when enough consecutive exits predict the same class, as in PABEE (Zhou et al. 2020).
    /// The router does not learn. In training every text runs to the last exit, since PABEE trains all exits on all
    /// texts. Requires a tree space and training without queues. Bandits select the heads, with the λ of the rewards;
    /// the patience has no effect on heads.
    Patience {
        /// Patience, 1 to [`u32::MAX`]: a sample leaves at the first exit that predicts the same class as each of the
        /// `patience` exits before it. If the patience is at least the number of exits, no sample leaves early. The
        /// router's speed is 1 / patience, see [`Patience::at`](crate::dynamic::router::Patience::at).
        patience: u32,
    },
}

impl RouterKind {
    /// Early-exit rule of a router that does not learn; `None` for bandits.
    pub(crate) fn rule(self) -> Option<LeavingRule> {
        match self {
            Self::EntropyThreshold { .. } => Some(LeavingRule::Entropy),
            Self::ConfidenceThreshold { .. } => Some(LeavingRule::Confidence),
            Self::Patience { .. } => Some(LeavingRule::Patience),
            Self::Bandit | Self::SequentialBandit => None,
        }
    }

    /// Returns whether the router decides at every exit, and not once at the start.
    pub(crate) fn decides_at_exits(self) -> bool {
        self != Self::Bandit
    }

    pub(super) fn check(self) -> Result<()> {
        match self {
            Self::Bandit | Self::SequentialBandit => Ok(()),
            Self::Patience { patience: 0 } => Err(Error::argument("router.patience.patience", "at least 1", 0)),
            Self::Patience { .. } => Ok(()),
            Self::EntropyThreshold { threshold } => check_number("router.entropy_threshold.threshold", threshold, 0.0),
            Self::ConfidenceThreshold { threshold } => {
                check_number("router.confidence_threshold.threshold", threshold, 0.0)
            }
        }
    }
}

/// Arms of the head-set bandit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadArms {
    /// One arm for each head index, shared by all layers: as many arms "in total" as a layer has heads, as published in
    /// the DHT paper (Meng et al. 2023).
    #[default]
    PerHead,
    /// One arm for each head index and group of layers, which learns from its own group only. Not in the DHT paper.
    PerHeadAndGroup,
}

/// Source of the pinned heads, which every head set contains. The [space](crate::SpaceConfig::pinned) sets their
/// number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinnedHeads {
    /// Heads of the highest importance, E |∂L/∂ξ| of the loss L, for a gate ξ = 1 on the head (Michel et al. 2019,
    /// equation 2).
    ///
    /// The mean is over the training samples that kept the head, up to the end of the routers' warm-up; full-model
    /// steps are included. Each layer's importances are scaled to length 1, as Michel et al. do, and added up over the
    /// layers of the dynamic groups, which have a choice of heads. The heads are selected when the warm-up ends, and
    /// are then fixed. Until then, and in an untrained model, the heads of the largest norm are pinned.
    ///
    /// The DHT paper (Meng et al. 2023) pins four heads and does not say which. The gradients come from backward passes
    /// that run anyway.
    #[default]
    GradientImportance,
    /// Heads of the largest norm when the training run starts: the norm ‖W_v,h‖_F · ‖W_o,h‖_F of the value and output
    /// weights of head h, added up over the layers of the dynamic groups.
    LargestNorm,
    /// Heads that the caller lists.
    Given {
        /// Indices of the pinned heads, all different. Their number must be the number of heads that the search space
        /// pins.
        heads: Vec<usize>,
    },
}

impl PinnedHeads {
    /// Rejects listed heads that a layer does not have or that repeat, and a list whose length is not the required
    /// number `pinned`.
    pub(super) fn check_with(&self, pinned: usize, heads: usize) -> Result<()> {
        let Self::Given { heads: listed } = self else { return Ok(()) };
        let different: BTreeSet<usize> = listed.iter().copied().filter(|head| *head < heads).collect();
        if (different.len(), listed.len()) == (pinned, pinned) {
            return Ok(());
        }
        let expected = format!("{pinned} different heads below {heads}, as many as the space pins");
        Err(Error::argument("pinned_heads.given.heads", expected, format!("{listed:?}")))
    }
}

/// Samples that share one drawn head set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadDraws {
    /// One set for all samples of a batch that keep the same number of heads in a group, drawn for the mean of their
    /// contexts. The rows of these samples then run as one dense product. Not in the DHT paper.
    #[default]
    PerGroup,
    /// One set for each sample, drawn for its own context, as in the DHT paper (Meng et al. 2023). The FLOPs are the
    /// same as with [`PerGroup`](Self::PerGroup), and the time is longer.
    PerSample,
}
