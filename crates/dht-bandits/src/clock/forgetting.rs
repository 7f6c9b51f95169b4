//! Decay of old evidence: evidence that was learned n steps ago has the weight decayⁿ. The setting with the decay
//! defines what a step is.

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::error::Result;
use crate::validate::check_parameter;

/// Smallest accepted decay. Below this decay, an `f64` retains nothing of the old evidence, and sums that are
/// multiplied by the inverse of the decay overflow.
const LEAST: f64 = 1e-100;

/// Refuses a decay outside [1e-100, 1].
pub(crate) fn check_decay(decay: f64) -> Result<()> {
    check_parameter("decay", decay, (LEAST..=1.0).contains(&decay), "from 1e-100 to 1")
}

/// Reads a decay from a file, and refuses one that is out of range.
pub(crate) fn read_decay<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let decay = f64::deserialize(deserializer)?;
    check_decay(decay).map_err(D::Error::custom)?;
    Ok(decay)
}
