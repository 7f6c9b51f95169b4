//! Settings of the exits: their losses in training, and the sharing of classifiers.

use serde::{Deserialize, Serialize};

use super::ranges::{check_number, check_power};
use crate::error::Result;

/// Exits that a sample trains, and the weights of their losses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitLosses {
    /// Only the exit where the sample leaves, as in the DHT paper (Meng et al. 2023): the loss is the cross-entropy at
    /// this exit, CE(own exit). Each exit then trains on few samples.
    Chosen,
    /// Exit where the sample leaves, and exits that it passes, with weights that decrease towards shallow exits. Not in
    /// the DHT paper.
    ///
    /// A passed exit after d of the sample's D layers has weight w = v·(d/D)ᵖ, and the sample's own exit has weight 1.
    /// With cross-entropies CE, the loss is (CE(own) + Σ w·CE(passed)) / (1 + Σ w). p = 0 weights all passed exits
    /// equally. p = 1 with v = 1 is PABEE's weighting, Σ d·CE / Σ d (Zhou et al. 2020). p = 2 gives early exits little
    /// weight.
    Weighted {
        /// Factor v > 0 of the weights of passed exits: the limit that these weights approach as the depth of the
        /// passed exit approaches the depth of the sample.
        weight: f64,
        /// Exponent p, 0 to 16, by which weights decrease towards shallow exits.
        power: f64,
    },
    /// Exit where the sample leaves, and exits that it passes; the passed exits train their classifiers but no layer.
    /// Not in the DHT paper.
    ///
    /// The loss is CE(own) + Σ CE(passed), the cross-entropies at the sample's own exit and at the passed exits, whose
    /// states are detached. Shallow layers then serve the layers above them and the texts that leave at them, while the
    /// bandits still see the loss of every text at every passed exit.
    Detached,
}

impl ExitLosses {
    pub(super) fn check(self) -> Result<()> {
        match self {
            Self::Chosen | Self::Detached => Ok(()),
            Self::Weighted { weight, power } => {
                check_number("exit_losses.weighted.weight", weight, f64::MIN_POSITIVE)?;
                check_power("exit_losses.weighted.power", power)
            }
        }
    }
}

/// Sharing of a classifier among the exits: one for all exits, or one for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassifierSharing {
    /// One classifier for all depths, as in the DHT paper (Meng et al. 2023).
    Shared,
    /// One classifier for each exit.
    PerExit,
}
