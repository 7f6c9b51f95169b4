//! Exponential decay of old evidence: a reward that was learned n steps ago has the weight decayⁿ. Each setting with a
//! decay defines its own step, such as one reward or one unit of time.

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::error::Result;
use crate::validate::check_parameter;

/// Smallest accepted decay factor. A smaller one would erase old evidence in `f64`, and its inverse would make sums
/// overflow.
const LEAST: f64 = 1e-100;

pub(crate) fn check_decay(decay: f64) -> Result<()> {
    check_parameter("decay", decay, (LEAST..=1.0).contains(&decay), "from 1e-100 to 1")
}

/// Deserializes a decay factor; fails if the factor is out of range.
pub(crate) fn read_decay<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let decay = f64::deserialize(deserializer)?;
    check_decay(decay).map_err(D::Error::custom)?;
    Ok(decay)
}
