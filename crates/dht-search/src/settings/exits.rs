//! What the exits learn from, and with which classifiers.

use serde::{Deserialize, Serialize};

/// Which exits a sample trains.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitLosses {
    /// The one it leaves by, as in the paper: loss = CE(own exit). Deep and shallow exits starve each other.
    Chosen,
    /// Also those it passes on the way. An exit after d of the D layers that the sample runs weighs w = v·(d/D)ᵖ beside 1
    /// for its own: loss = (CE(own) + Σ w·CE(passed)) / (1 + Σ w). Ours.
    ///
    /// p = 0 weighs all passed exits alike; p = 1 weighs by depth, with v = 1 as PABEE does, Σ d·CE / Σ d (Zhou et al.
    /// 2020); p = 2 leaves early exits little.
    #[serde(alias = "on_the_way")]
    Weighted {
        /// Of a passed exit just below the sample's own, v: above 0.
        weight: f64,
        /// How fast weights fall towards shallow exits, p: 0 to 16.
        power: f64,
    },
    /// Also those it passes, but of these only the classifiers learn: loss = CE(own) + Σ CE(passed), the passed exits'
    /// states without gradient. A shallow layer then serves the layers above it and the texts that leave there, and is
    /// not pulled towards texts it cannot know; the bandits still see what each exit makes of each text. Ours.
    #[serde(alias = "probed")]
    Detached,
}

/// Whether the exits share a classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassifierSharing {
    /// One for all depths, as the paper draws it.
    Shared,
    /// One for each exit.
    PerExit,
}

/// What reads a sample where it may leave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExitKind {
    /// A linear classifier over pooled rows.
    #[default]
    Linear,
}
