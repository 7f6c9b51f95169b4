//! Trait of exploration rules, and the selection rules from which propensities are computed.

use rand::Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::gaussian::Score;

/// Distribution from which an exploration rule chooses among scored arms. Propensities are computed from it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Selection {
    /// Selects the arm with the highest value, where values are deterministic functions of scores. Ties are broken
    /// uniformly at random.
    Index,
    /// Thompson sampling: selects the arm with the highest value. Each value is drawn independently from N(mean,
    /// (scale·width)²). If all arms share one weight vector, the weights are drawn instead, with `scale` times their
    /// standard deviation.
    Sampled {
        /// Factor on the posterior standard deviation.
        scale: f64,
    },
    /// Softmax: draws an arm with probability ∝ exp(mean/temperature).
    Softmax {
        /// Temperature of the softmax, above 0.
        temperature: f64,
    },
    /// Inverse-gap weighting: draws one of K arms with probability 1/(K + γ·(highest mean − mean)). The arm with the
    /// highest mean has the remaining probability.
    InverseGap {
        /// Factor γ by which differences of means are multiplied, at least 0.
        gamma: f64,
    },
}

/// Exploration rule: chooses an arm from the posterior scores (mean and width) of all arms.
pub trait Exploration:
    Clone + std::fmt::Debug + PartialEq + Send + Sync + Serialize + DeserializeOwned + 'static
{
    /// Name of the rule in saved states.
    const NAME: &'static str;

    /// Full name in saved states. The name of a rule that wraps another one includes the inner rule's name.
    fn name() -> String {
        Self::NAME.to_owned()
    }

    /// Value of an arm; the arm with the highest value is chosen. The value must not be finite if the mean or width is
    /// not finite, so that overflow is detected. It may depend on the generator only if [`selection`](Self::selection)
    /// defines a random draw.
    fn value<R: Rng + ?Sized>(&self, score: Score, rng: &mut R) -> f64;

    /// Returns the rule with the settings that apply after `_learned` learned rewards. Policies call this once for each
    /// choice, and compare arms by the [`value`](Self::value) of the result.
    fn after(&self, _learned: u64) -> Self {
        self.clone()
    }

    /// Distribution from which arms are chosen after `_learned` learned rewards.
    fn selection(&self, _learned: u64) -> Selection {
        Selection::Index
    }

    /// Probability, after `_learned` learned rewards, that an arm is drawn uniformly and not by
    /// [`selection`](Self::selection).
    fn uniform_share(&self, _learned: u64) -> f64 {
        0.0
    }

    /// Minimum probability of each arm, 0 except for a [`Floor`](crate::exploration::Floor).
    fn floor(&self) -> f64 {
        0.0
    }

    /// Checks the settings of the rule.
    ///
    /// # Errors
    /// [`Error::Parameter`] with the first setting that is out of its range.
    fn check(&self) -> Result<()>;
}

/// Returns an error if the floor (minimum probability of each arm) is above 1/`arms`.
pub(crate) fn check_floor(floor: f64, arms: usize) -> Result<()> {
    // 1/K times K may be above 1 by rounding.
    if floor * arms as f64 <= 1.0 + 1e-12 { Ok(()) } else { Err(Error::Floor { floor, arms }) }
}

/// Probability that an arm is drawn uniformly among `arms` arms, because the rule draws uniformly in a share of its
/// choices, or because of its floor (minimum probability of each arm).
///
/// # Errors
/// [`Error::Floor`] if the floor is above 1/`arms`.
#[inline]
pub(crate) fn drawn_uniformly<E: Exploration>(rule: &E, learned: u64, arms: usize) -> Result<f64> {
    let (share, floor) = (rule.uniform_share(learned), rule.floor());
    if floor == 0.0 {
        return Ok(share);
    }
    check_floor(floor, arms)?;
    let for_floor = (floor * arms as f64).min(1.0);
    Ok(for_floor + (1.0 - for_floor) * share)
}

/// Returns the mean as the value of an arm, or NaN if the width is infinite. Used by rules that otherwise ignore
/// widths.
#[inline(always)]
pub(super) fn mean_if_finite(score: Score) -> f64 {
    score.mean + 0.0 * score.width
}
