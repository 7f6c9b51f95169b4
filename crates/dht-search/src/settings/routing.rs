//! What the bandits see, how much they explore, and which bandit decides what.

use std::collections::BTreeSet;

use dht_dynamic::evaluation::LeavingRule;
use serde::{Deserialize, Serialize};

use super::ranges::check_number;
use crate::error::{Error, Result};

/// One value for each kind of bandit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerBandit {
    /// For the depth bandit, and for the gain bandits at the exits of a sequential search.
    pub depth: f64,
    /// For the head-count bandit.
    pub heads: f64,
    /// For the joint bandit.
    pub arms: f64,
}

impl PerBandit {
    /// The same value for all.
    pub const fn all(value: f64) -> Self {
        Self { depth: value, heads: value, arms: value }
    }

    pub(super) fn check(self, field: &'static str, least: f64) -> Result<()> {
        [self.depth, self.heads, self.arms].into_iter().try_for_each(|value| check_number(field, value, least))
    }
}

/// What the bandits see of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContextDesign {
    /// The paper's (appendix 7.1): the pooled state and the feature of the arm, \[x ; z\]. 168 dimensions for the depth
    /// bandit, 87 with the group's one-hot for the head-count bandit, 13 for the head-set bandit. With disjoint arms z is
    /// constant for each arm, that is, a bias. The passes through the model that compute z are counted.
    Paper,
    /// The pooled state and a constant, \[x ; 1\]; no passes before training. Not in the paper; for spaces without a
    /// classifier after the base layers (P-DHT).
    State,
    /// Three signals: entropy −Σ p·ln p / ln C and margin p₁ − p₂ of the exit after the base layers, and
    /// ln tokens / ln 512. Each keeps its fixed range. Not in the paper; needs that exit trained.
    Signals,
    /// Both: the pooled state and the signals.
    StateAndSignals,
}

impl ContextDesign {
    /// Whether it contains the pooled state.
    pub fn has_state(self) -> bool {
        self != Self::Signals
    }

    /// Whether it contains the base exit's signals.
    pub fn has_signals(self) -> bool {
        matches!(self, Self::Signals | Self::StateAndSignals)
    }

    /// Whether it contains features of the arms.
    pub fn has_arm_features(self) -> bool {
        self == Self::Paper
    }
}

/// What decides how deep a sample goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RouterKind {
    /// A linear bandit decides once, behind the base layers, as in the paper: over exits in a tree search, over routes in
    /// an integrated one.
    #[default]
    Bandit,
    /// The sequential search, not in the paper: at every exit a linear bandit predicts for each deeper exit what going
    /// there gains, and the sample goes on while one of them is worth its price. For tree spaces, in flight, with
    /// [`RewardShape::Gain`](crate::reward::RewardShape::Gain).
    SequentialBandit,
    /// At every exit a threshold on the entropy of the exit's probabilities, as in FastBERT (Liu et al. 2020); it learns
    /// nothing. For tree spaces, in flight. Bandits choose the heads, at the λ of the rewards, whatever the threshold.
    EntropyThreshold {
        /// A sample leaves where −Σ p·ln p / ln C is below it: a finite number, at least 0. It is the speed: at 0 nothing
        /// leaves early, above 1 everything leaves at the first exit.
        threshold: f64,
    },
    /// At every exit a threshold on 1 − max p of the exit's probabilities;
    /// it learns nothing. For tree spaces, in flight. Bandits choose the heads, at the λ of the rewards, whatever the
    /// threshold.
    ConfidenceThreshold {
        /// A sample leaves where 1 − max p is below it: a finite number, at least 0. It is the speed: at 0 nothing leaves
        /// early, from 1 on everything leaves at the first exit.
        threshold: f64,
    },
    /// At every exit the number of exits in a row that predict the same class, as in PABEE (Zhou et al. 2020); it learns
    /// nothing. In training every text runs to the last exit, since PABEE trains all exits on all texts. For tree spaces, in
    /// flight. Bandits choose the heads, at the λ of the rewards, whatever the patience.
    Patience {
        /// A sample leaves where the exit predicts what each of so many exits before it predicted: 1 to [`u32::MAX`]. With the
        /// number of exits or more nothing leaves early. The speed is 1 / patience, see [`Patience::at`](crate::dynamic::router::Patience::at).
        patience: u32,
    },
}

impl RouterKind {
    /// The rule of a router that learns nothing; `None` for bandits.
    pub(crate) fn rule(self) -> Option<LeavingRule> {
        match self {
            Self::EntropyThreshold { .. } => Some(LeavingRule::Entropy),
            Self::ConfidenceThreshold { .. } => Some(LeavingRule::Confidence),
            Self::Patience { .. } => Some(LeavingRule::Patience),
            Self::Bandit | Self::SequentialBandit => None,
        }
    }

    /// Whether it decides at exits, and not once at the start.
    pub(crate) fn decides_at_exits(self) -> bool {
        self != Self::Bandit
    }

    pub(super) fn check(self) -> Result<()> {
        match self {
            Self::Bandit | Self::SequentialBandit => Ok(()),
            Self::Patience { patience: 0 } => Err(Error::setting("router.patience.patience", "at least 1", 0)),
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

/// Which heads are pinned, that is, kept in every head set: as many as the space [pins](crate::SpaceConfig::pinned).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinnedHeads {
    /// Those of the highest importance, E |∂L/∂ξ| of a gate ξ = 1 on the head (Michel et al. 2019, equation 2): the mean over
    /// the training samples until the routers' warm-up ends that kept the head, full-model steps included. Each layer's
    /// scores are scaled to length 1, as there, and added up over the layers of the dynamic groups. They are chosen when
    /// the warm-up ends, and stay. Before that, and in a model that was never trained, those of the largest norm serve.
    ///
    /// The paper pins four and does not say which; the gradients come from backward passes that run anyway.
    #[default]
    GradientImportance,
    /// Those of the largest norm at the start of the training, ‖W_v,h‖_F · ‖W_o,h‖_F added up over the layers of the dynamic
    /// groups.
    LargestNorm,
    /// These.
    Given {
        /// As many different heads as the space pins.
        heads: Vec<usize>,
    },
}

impl PinnedHeads {
    /// Refuses given heads that a space cannot pin.
    pub(super) fn check_with(&self, pinned: usize, heads: usize) -> Result<()> {
        let Self::Given { heads: given } = self else { return Ok(()) };
        let different: BTreeSet<usize> = given.iter().copied().filter(|head| *head < heads).collect();
        if (different.len(), given.len()) == (pinned, pinned) {
            return Ok(());
        }
        let expected = format!("{pinned} different heads below {heads}, as many as the space pins");
        Err(Error::setting("pinned_heads.given.heads", expected, format!("{given:?}")))
    }
}

/// For which samples a head set is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadDraws {
    /// Once for all samples of a batch that keep equally many heads of a group, on the mean of their contexts. Their rows
    /// then run as one dense product. Not in the paper.
    #[default]
    PerGroup,
    /// For each sample on its own context, as in the paper: the same FLOPs, more time.
    PerSample,
}
