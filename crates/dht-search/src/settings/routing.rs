//! Settings of the routers: type, contexts, and arms and pinned heads of the head-set bandit.

use std::collections::BTreeSet;

use dht_dynamic::router::LeavingRule;
use serde::{Deserialize, Serialize};

use super::ranges::check_number;
use crate::error::{Error, Result};

/// Setting with separate values for the depth, head-count and joint bandits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerBandit {
    /// Value for the depth bandit and for the bandits of a [sequential router](RouterKind::SequentialBandit), which
    /// decide at every exit.
    pub depth: f64,
    /// Value for the head-count bandit, which selects the number of heads in a group of layers.
    pub heads: f64,
    /// Value for the joint bandit, which selects depth and heads at once.
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

/// Contents of the bandits' contexts (input vectors).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContextDesign {
    /// Context \[x ; z\] of the DHT paper (appendix 7.1), with the pooled hidden state x and the arm's feature z. It
    /// has 168 dimensions for the depth bandit, 87 for the head-count bandit (with a one-hot vector of the group of
    /// layers), and 13 for the head-set bandit. Since each arm has separate weights, z acts as a bias. The FLOPs of
    /// computing z are counted.
    Paper,
    /// Context \[x ; 1\], with the pooled hidden state x; no passes before training are needed. Not in the DHT paper.
    /// Useful for spaces without a classifier after the base layers, such as P-DHT.
    State,
    /// Three signals, which are not normalised: the length ln tokens / ln 512, the entropy −Σ p·ln p / ln C, and the
    /// margin p₁ − p₂. The probabilities p of C classes are those at the exit after the base layers, which must be
    /// trained. Not in the DHT paper.
    Signals,
    /// Pooled hidden state and three [signals](Self::Signals): length, entropy and margin.
    StateAndSignals,
}

impl ContextDesign {
    /// Returns whether the context contains the pooled hidden state.
    pub fn has_state(self) -> bool {
        self != Self::Signals
    }

    /// Returns whether the context contains signals (length, entropy, margin) of the exit after the base layers.
    pub fn has_signals(self) -> bool {
        matches!(self, Self::Signals | Self::StateAndSignals)
    }

    /// Returns whether the context contains features of the arms.
    pub fn has_arm_features(self) -> bool {
        self == Self::Paper
    }
}

/// Router that decides the depth of each sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RouterKind {
    /// Linear bandit that decides once, after the base layers, as in the DHT paper (Meng et al. 2023). Its arms are
    /// exits in a tree search, and routes in an integrated search.
    #[default]
    Bandit,
    /// Linear bandits that decide at every exit. The bandit of an exit predicts how much each deeper exit reduces the
    /// loss. The sample continues while this gain exceeds the price of computation for some exit. Not in the DHT paper.
    /// Requires a tree space, training without queues, and [`RewardShape::Gain`](crate::reward::RewardShape::Gain).
    SequentialBandit,
    /// Fixed threshold on the entropy of class probabilities at every exit, as in FastBERT (Liu et al. 2020). Requires
    /// a tree space and training without queues. Heads are still selected by bandits, with the λ of the rewards.
    EntropyThreshold {
        /// Threshold, a finite number of at least 0, which is also the router's speed. A sample stops at the first exit
        /// where the normalised entropy −Σ p·ln p / ln C of the C class probabilities is below the threshold. At 0, no
        /// sample stops early; above 1, every sample stops at the first exit.
        threshold: f64,
    },
    /// Fixed threshold on 1 − max p, with the class probabilities p, at every exit. Requires a tree space and training
    /// without queues. Heads are still selected by bandits, with the λ of the rewards.
    ConfidenceThreshold {
        /// Threshold, a finite number of at least 0, which is also the router's speed. A sample stops at the first exit
        /// where 1 − max p, with the class probabilities p, is below the threshold. At 0, no sample stops early; from 1
        /// on, every sample stops at the first exit.
        threshold: f64,
    },
    /// Patience: a sample stops when enough consecutive exits predict the same class, as in PABEE (Zhou et al. 2020).
    /// The router does not learn. In training every text runs to the last exit, since PABEE trains all exits on all
    /// texts. Requires a tree space and training without queues. Heads are still selected by bandits, with the λ of the
    /// rewards.
    Patience {
        /// Number of preceding exits, 1 to [`u32::MAX`], with which an exit must agree. A sample stops at the first
        /// exit that predicts the same class as each of the `patience` exits before it. If the patience is at least the
        /// number of exits, no sample stops early. The router's speed is 1 / patience, see
        /// [`Patience::at`](crate::dynamic::router::Patience::at).
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

    /// Returns whether the router decides at every exit; otherwise it decides once, after the base layers.
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

/// Arms of the head-set bandit, which selects the heads.
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

/// Selection of the pinned heads, which every head set contains. [`SpaceConfig::pinned`](crate::SpaceConfig::pinned)
/// sets their number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinnedHeads {
    /// Heads of the highest importance, E |∂L/∂ξ| of the loss L, for a gate ξ = 1 on the head (Michel et al. 2019,
    /// equation 2).
    ///
    /// The mean is over the training samples that kept the head, up to the end of the routers' warm-up; full-model
    /// steps are included. The importances of each layer are scaled to length 1, as Michel et al. do. They are added up
    /// over the layers of the dynamic groups, which have a choice of heads. The heads are selected when the warm-up
    /// ends. Until then, and in an untrained model, the heads of the largest norm are pinned.
    ///
    /// The DHT paper (Meng et al. 2023) pins four heads and does not say which. The gradients are a by-product of the
    /// training steps.
    #[default]
    GradientImportance,
    /// Heads of the largest norm when the training run starts. The norm of head h is ‖W_v,h‖_F · ‖W_o,h‖_F, with its
    /// value and output weights, added up over the layers of the dynamic groups (with a choice of heads).
    LargestNorm,
    /// Heads that the caller lists.
    Given {
        /// Indices of the pinned heads, all different. Their number must be the number of heads that the search space
        /// pins.
        heads: Vec<usize>,
    },
}

impl PinnedHeads {
    /// Rejects pinned heads that are repeated or that a layer does not have, and a list whose length is not `pinned`.
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

/// Sharing of head sets among the samples of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadDraws {
    /// One head set for all samples of a batch that keep the same number of heads in a group of layers, selected for
    /// the mean of their contexts. Their rows then run as one dense product. Not in the DHT paper.
    #[default]
    PerGroup,
    /// One head set for each sample, selected for its own context, as in the DHT paper (Meng et al. 2023). The FLOPs
    /// are the same as with [`PerGroup`](Self::PerGroup), and the time is longer.
    PerSample,
}
