//! Exponential forgetting of old evidence.

use crate::error::{Error, Result};
use crate::validate::check_parameter;
use serde::{Deserialize, Serialize};

/// Exponential forgetting: evidence learned n steps ago has the weight decayⁿ.
///
/// The setting that holds it defines a step: an update, a batch, a context or a call. Saved states contain only the
/// decay.
///
/// ```
/// use dht_bandits::Ridge;
/// use dht_bandits::posterior::Forgetting;
///
/// let options = Ridge::default().with_forgetting(Forgetting::new(0.99)?);
/// assert_eq!(Ridge::default().forgetting, Forgetting::NONE);
/// assert!(Forgetting::new(1.5).is_err());
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Forgetting {
    decay: f64,
}

/// Smallest accepted decay.
const LEAST: f64 = 1e-100;

impl Forgetting {
    /// No forgetting: a decay of 1.
    pub const NONE: Self = Self { decay: 1.0 };

    /// Creates a forgetting with this decay.
    ///
    /// # Errors
    /// A decay outside [1e-100, 1]: below, 64-bit numbers keep nothing of the old evidence, and its inverse overflows
    /// sums. To forget everything, use [`reset`](crate::policy::Disjoint::reset).
    pub fn new(decay: f64) -> Result<Self> {
        check_parameter("decay", decay, (LEAST..=1.0).contains(&decay), "from 1e-100 to 1")?;
        Ok(Self { decay })
    }

    /// Factor per step on earlier evidence, in [1e-100, 1].
    pub const fn decay(self) -> f64 {
        self.decay
    }

    /// Returns whether nothing is forgotten.
    pub fn is_none(self) -> bool {
        self.decay == 1.0
    }
}

impl Default for Forgetting {
    fn default() -> Self {
        Self::NONE
    }
}

impl From<Forgetting> for f64 {
    fn from(forgetting: Forgetting) -> Self {
        forgetting.decay
    }
}

impl TryFrom<f64> for Forgetting {
    type Error = Error;

    fn try_from(decay: f64) -> Result<Self> {
        Self::new(decay)
    }
}
