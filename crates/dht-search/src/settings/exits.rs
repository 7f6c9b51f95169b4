//! Settings of the early exits: training losses, and sharing of classifiers.

use serde::{Deserialize, Serialize};

use super::ranges::{check_number, check_power};
use crate::error::Result;

/// Training losses of early exits: which exits a sample trains, and their weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitLosses {
    /// Cross-entropy loss at the exit where the sample stops, as in the DHT paper (Meng et al. 2023). Each exit then
    /// trains on few samples.
    Chosen,
    /// Weighted mean of the losses at the exit where the sample stops and at the exits that it passes. Shallower exits
    /// have smaller weights. Not in the DHT paper.
    ///
    /// A passed exit after d of the sample's D layers has weight w = v·(d/D)ᵖ, and the sample's own exit has weight 1.
    /// With cross-entropies CE, the loss is (CE(own) + Σ w·CE(passed)) / (1 + Σ w). p = 0 weights all passed exits
    /// equally. p = 1 with v = 1 is PABEE's weighting, Σ d·CE / Σ d (Zhou et al. 2020). p = 2 gives early exits little
    /// weight.
    Weighted {
        /// Factor v > 0 of the weight v·(d/D)ᵖ of an exit after d layers that a sample of depth D passes.
        weight: f64,
        /// Exponent p, 0 to 16, of the weight v·(d/D)ᵖ: the larger, the less weight shallow exits have.
        power: f64,
    },
    /// Sum of the losses at the exit where the sample stops and at the exits that it passes. Passed exits have no
    /// gradient to the layers. Not in the DHT paper.
    ///
    /// With cross-entropies CE, the loss is CE(own) + Σ CE(passed). The losses at passed exits train only the
    /// classifiers of these exits. Shallow layers are thus trained only by the losses of deeper exits, and of texts
    /// that stop early. The bandits still learn from the losses at passed exits.
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
