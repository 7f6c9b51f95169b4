//! How fast old evidence fades.

use crate::error::{Error, Result};
use crate::validate::check_parameter;
use serde::{Deserialize, Serialize};

/// Exponential forgetting: what was learned n steps ago counts decayⁿ.
///
/// The setting that holds it says what a step is: an update, a batch, a context or a call. It is saved as the decay
/// alone.
///
/// ```
/// use dht_bandits::RidgeOptions;
/// use dht_bandits::posterior::Forgetting;
///
/// let options = RidgeOptions::default().with_forgetting(Forgetting::new(0.99)?);
/// assert_eq!(RidgeOptions::default().forgetting, Forgetting::NONE);
/// assert!(Forgetting::new(1.5).is_err());
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Forgetting {
    decay: f64,
}

/// The smallest decay.
const LEAST: f64 = 1e-100;

impl Forgetting {
    /// Nothing is forgotten: a decay of 1.
    pub const NONE: Self = Self { decay: 1.0 };

    /// Forgetting with this decay.
    ///
    /// # Errors
    /// A decay outside [1e-100, 1]: below, nothing is left in 64 bits of what was learned, and its inverse overflows
    /// sums. To forget everything, [`reset`](crate::policy::Disjoint::reset).
    pub fn new(decay: f64) -> Result<Self> {
        check_parameter("decay", decay, (LEAST..=1.0).contains(&decay), "from 1e-100 to 1")?;
        Ok(Self { decay })
    }

    /// The factor on what was learned before, in [1e-100, 1].
    pub const fn decay(self) -> f64 {
        self.decay
    }

    /// Whether nothing is forgotten.
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
