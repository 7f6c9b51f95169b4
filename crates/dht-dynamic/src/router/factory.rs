//! Creates the built-in router that applies an exit rule.

use std::sync::Arc;

use super::patience::Patience;
use super::router::Router;
use super::rule::LeavingRule;
use super::threshold::Threshold;
use crate::error::Result;

impl LeavingRule {
    /// Builds the built-in router that applies this rule at a speed, such as a threshold.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if the speed is out of the rule's range.
    ///
    /// # Examples
    /// ```
    /// use dht_dynamic::router::LeavingRule;
    ///
    /// let router = LeavingRule::Confidence.router(0.2)?;
    /// assert_eq!(router.speed(), Some(0.2));
    /// assert!(LeavingRule::Confidence.router(-1.0).is_err());
    /// # Ok::<(), dht_dynamic::Error>(())
    /// ```
    pub fn router(self, speed: f64) -> Result<Arc<dyn Router>> {
        Ok(match self {
            Self::Confidence | Self::Entropy => Arc::new(Threshold::new(self, speed)?),
            Self::Patience => Arc::new(Patience::at(speed)?),
        })
    }
}
