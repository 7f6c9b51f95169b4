//! What the exits learn from, and with which classifiers.

use serde::{Deserialize, Serialize};

/// Which exits a sample trains.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitLosses {
    /// The one it leaves by, as in the paper: loss = CE(own exit). Deep and shallow exits starve each other.
    Chosen,
    /// Also those it passes on the way, with weight v beside 1 for its own: loss = (CE(own) + v·Σ CE(passed)) / (1 + v·passed).
    /// Ours.
    OnTheWay {
        /// Of a passed exit, above 0.
        weight: f64,
    },
    /// Also those it passes, but of these only the classifiers learn: loss = CE(own) + Σ CE(passed), the passed exits'
    /// states without gradient. A shallow layer then serves the layers above it and the texts that leave there, and is
    /// not pulled towards texts it cannot know; the bandits still see what each exit makes of each text. Ours.
    Probed,
}

/// Whether the exits share a classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitClassifiers {
    /// One for all depths, as the paper draws it.
    Shared,
    /// One for each exit.
    PerExit,
}
