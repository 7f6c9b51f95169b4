//! Decay of old evidence: evidence learned n steps ago has the weight decayⁿ. The setting that holds it defines a step.

use crate::error::Result;
use crate::validate::check_parameter;
use serde::{Deserialize, Deserializer, de::Error as _};

/// Smallest accepted decay: below, 64-bit numbers keep nothing of the old evidence, and its inverse overflows sums.
const LEAST: f64 = 1e-100;

/// Refuses a decay outside [1e-100, 1].
pub(crate) fn check_decay(decay: f64) -> Result<()> {
    check_parameter("decay", decay, (LEAST..=1.0).contains(&decay), "from 1e-100 to 1")
}

/// Reads a decay, and refuses one out of its range.
pub(crate) fn read_decay<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let decay = f64::deserialize(deserializer)?;
    check_decay(decay).map_err(D::Error::custom)?;
    Ok(decay)
}
