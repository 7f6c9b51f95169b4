//! Contexts and exploration of the bandits, and the assignment of decisions to bandits.

use std::collections::BTreeSet;

use dht_dynamic::evaluation::LeavingRule;
use serde::{Deserialize, Serialize};

use super::ranges::check_number;
use crate::error::{Error, Result};

/// One value for each kind of bandit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerBandit {
    /// The value for the depth bandit, and for the gain bandits at the exits of a sequential search.
    pub depth: f64,
    /// The value for the head-count bandit.
    pub heads: f64,
    /// The value for the joint bandit.
    pub arms: f64,
}

impl PerBandit {
    /// Uses one value for all bandits.
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
    /// The paper's context (appendix 7.1): the pooled state and the feature of the arm, \[x ; z\]. It has 168
    /// dimensions for the depth bandit, 87 with the group's one-hot for the head-count bandit, 13 for the head-set
    /// bandit. With disjoint arms z is constant for each arm, that is, a bias. The passes through the model that
    /// compute z are counted.
    Paper,
    /// The pooled state and a constant, \[x ; 1\]; no passes before training. Not in the paper; for spaces without a
    /// classifier after the base layers (P-DHT).
    State,
    /// Three signals: entropy −Σ p·ln p / ln C and margin p₁ − p₂ of the exit after the base layers, and
    /// ln tokens / ln 512. Each keeps its fixed range. Not in the paper; needs that exit trained.
    Signals,
    /// The pooled state and the signals.
    StateAndSignals,
}

impl ContextDesign {
    /// Returns whether the context contains the pooled state.
    pub fn has_state(self) -> bool {
        self != Self::Signals
    }

    /// Returns whether the context contains the base exit's signals.
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
    /// A linear bandit that decides once, after the base layers, as in the paper: over exits in a tree search, over
    /// routes in an integrated one.
    #[default]
    Bandit,
    /// The sequential search, not in the paper: at every exit a linear bandit predicts the gain of each deeper exit,
    /// and the sample continues while one gain exceeds its price. For tree spaces, in flight, with
    /// [`RewardShape::Gain`](crate::reward::RewardShape::Gain).
    SequentialBandit,
    /// A threshold on the entropy of the exit's probabilities at every exit, as in FastBERT (Liu et al. 2020). It does
    /// not learn. For tree spaces, in flight. Bandits select the heads, at the λ of the rewards, whatever the
    /// threshold.
    EntropyThreshold {
        /// The threshold: a sample leaves where −Σ p·ln p / ln C is below it. A finite number, at least 0. It is the
        /// speed: at 0 nothing leaves early, above 1 everything leaves at the first exit.
        threshold: f64,
    },
    /// A threshold on 1 − max p of the exit's probabilities at every exit. It does not learn. For tree spaces, in
    /// flight. Bandits select the heads, at the λ of the rewards, whatever the threshold.
    ConfidenceThreshold {
        /// The threshold: a sample leaves where 1 − max p is below it. A finite number, at least 0. It is the speed: at
        /// 0 nothing leaves early, from 1 on everything leaves at the first exit.
        threshold: f64,
    },
    /// The number of consecutive exits that predict the same class, as in PABEE (Zhou et al. 2020). It does not learn.
    /// In training every text runs to the last exit, since PABEE trains all exits on all texts. For tree spaces, in
    /// flight. Bandits select the heads, at the λ of the rewards, whatever the patience.
    Patience {
        /// The patience: a sample leaves where the exit predicts the class that each of this number of exits before it
        /// predicted. 1 to [`u32::MAX`]. With the number of exits or more nothing leaves early. The speed is 1 /
        /// patience, see [`Patience::at`](crate::dynamic::router::Patience::at).
        patience: u32,
    },
}

impl RouterKind {
    /// The rule of a router that does not learn; `None` for bandits.
    pub(crate) fn rule(self) -> Option<LeavingRule> {
        match self {
            Self::EntropyThreshold { .. } => Some(LeavingRule::Entropy),
            Self::ConfidenceThreshold { .. } => Some(LeavingRule::Confidence),
            Self::Patience { .. } => Some(LeavingRule::Patience),
            Self::Bandit | Self::SequentialBandit => None,
        }
    }

    /// Returns whether the router decides at exits, and not once at the start.
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

/// The arms of the head-set bandit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadArms {
    /// One arm for each head index, shared by all layers: N_H arms "in total", as published.
    #[default]
    PerHead,
    /// One arm for each head index and group of layers, which learns from its own group only. Not in the paper.
    PerHeadAndGroup,
}

/// Source of the pinned heads, which every head set contains. Their number is that of the
/// [space](crate::SpaceConfig::pinned).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinnedHeads {
    /// The heads of the highest importance, E |∂L/∂ξ| of a gate ξ = 1 on the head (Michel et al. 2019, equation 2). It
    /// is the mean over the training samples that kept the head until the end of the routers' warm-up, full-model steps
    /// included. Each layer's scores are scaled to length 1, as in the source, and added up over the layers of the
    /// dynamic groups. The heads are selected when the warm-up ends, and are then fixed. Before that, and in a model
    /// without training, the heads of the largest norm are used.
    ///
    /// The paper pins four heads and does not specify them; the gradients come from backward passes that run anyway.
    #[default]
    GradientImportance,
    /// The heads of the largest norm at the start of the training, ‖W_v,h‖_F · ‖W_o,h‖_F added up over the layers of
    /// the dynamic groups.
    LargestNorm,
    /// The given heads.
    Given {
        /// The indices of different heads; their number must be the one that the space pins.
        heads: Vec<usize>,
    },
}

impl PinnedHeads {
    /// Rejects given heads that a space cannot pin.
    pub(super) fn check_with(&self, pinned: usize, heads: usize) -> Result<()> {
        let Self::Given { heads: given } = self else { return Ok(()) };
        let different: BTreeSet<usize> = given.iter().copied().filter(|head| *head < heads).collect();
        if (different.len(), given.len()) == (pinned, pinned) {
            return Ok(());
        }
        let expected = format!("{pinned} different heads below {heads}, as many as the space pins");
        Err(Error::argument("pinned_heads.given.heads", expected, format!("{given:?}")))
    }
}

/// Granularity of the drawn head sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadDraws {
    /// One set for all samples of a batch that keep the same number of heads of a group, drawn on the mean of their
    /// contexts. Their rows then run as one dense product. Not in the paper.
    #[default]
    PerGroup,
    /// One set for each sample, drawn on its own context, as in the paper: the same FLOPs, more time.
    PerSample,
}
