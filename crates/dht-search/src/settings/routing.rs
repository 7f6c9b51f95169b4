//! What the bandits see, and which of them decide what.

use serde::{Deserialize, Serialize};

use crate::cost::{LayerHeadCount, MeasuredCost};

/// What the bandits see of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContextDesign {
    /// The paper's (7.1): the pooled state and the feature of the arm, \[x ; z\], of 168 dimensions for UCB_L, 87 with the
    /// group's one-hot for UCB_H and 13 for TSB. With disjoint arms z is one constant per arm,
    /// that is a bias; its passes through the model before training are counted.
    Paper,
    /// The pooled state with a constant, \[x ; 1\], and no passes before training. Ours, for spaces without a classifier
    /// behind the base layers (P-DHT).
    State,
    /// Ours: entropy −Σ p·ln p / ln C and margin p₁ − p₂ of the exit behind the base layers, and ln tokens / ln 512,
    /// each in a scaling of its own. Needs that exit trained.
    Signals,
    /// Both: the pooled state and the signals.
    StateAndSignals,
}

impl ContextDesign {
    /// Whether the pooled state is part of it.
    pub fn has_state(self) -> bool {
        self != Self::Signals
    }

    /// Whether the base exit's signals are.
    pub fn has_signals(self) -> bool {
        matches!(self, Self::Signals | Self::StateAndSignals)
    }

    /// Whether features of the arms are.
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
    #[serde(alias = "at_the_base")]
    Bandit,
    /// The sequential search, not in the paper: at every exit a linear bandit predicts for each deeper exit what going
    /// there gains, and the sample goes on while one of them is worth its price. For tree spaces, in flight, with
    /// [`RewardShape::Gain`](crate::reward::RewardShape::Gain).
    #[serde(alias = "at_every_exit")]
    SequentialBandit,
}

impl RouterKind {
    /// Whether it decides at exits, and not once at the start.
    pub(crate) fn decides_at_exits(self) -> bool {
        self != Self::Bandit
    }
}

/// What an arm of TSB is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadArms {
    /// A head's number, whatever the layer: N_H arms "in total", as printed.
    #[default]
    PerHead,
    /// A head's number in a group of layers: N_H arms for each group, each of which learns from its own group alone. Ours.
    PerHeadAndGroup,
}

/// For whom a head set is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadDraws {
    /// Once for all samples of a batch that keep equally many heads of a group, on the mean of their contexts: runs as
    /// dense products. Ours.
    #[default]
    #[serde(alias = "per_bucket")]
    PerGroup,
    /// For each sample on its own context, as in the paper: as many products, slower by the clock.
    PerSample,
}

/// Which cost steers the bandits' choices by λ ([`RewardShape::Utility`](crate::reward::RewardShape::Utility) and
/// [`Gain`](crate::reward::RewardShape::Gain)). All are reported, whichever steers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Steering {
    /// The paper's estimate.
    LayerHeadProduct(LayerHeadCount),
    /// Exact FLOPs at the text's length.
    #[default]
    Flops,
    /// Seconds that were measured on this machine.
    Measured(MeasuredCost),
}
