//! Trait of exploration rules, and their probabilities of uniform draws.

use rand::Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::gaussian::Score;

/// Selection rule by which an exploration rule chooses among scored arms. Propensities are computed from it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Selection {
    /// Selects the arm with the highest value, which is a function of the score. Ties are broken uniformly.
    Index,
    /// Selects the arm with the highest value, drawn from N(mean, (scale·width)²) independently for each arm. With
    /// shared weights the weights are drawn instead, with `scale` times their deviation.
    Sampled {
        /// Factor on the posterior's standard deviation.
        scale: f64,
    },
    /// Draws an arm with probability ∝ exp(mean/temperature).
    Softmax {
        /// Temperature of the softmax, positive.
        temperature: f64,
    },
    /// Draws an arm with probability 1/(K + γ·(highest mean − mean)). The arm with the highest mean has the remaining
    /// probability.
    InverseGap {
        /// Factor γ on the gaps, at least 0.
        gamma: f64,
    },
}

/// Exploration rule: maps the scores of arms under the posterior to a choice.
pub trait Exploration:
    Clone + std::fmt::Debug + PartialEq + Send + Sync + Serialize + DeserializeOwned + 'static
{
    /// Name of the rule in saved states.
    const NAME: &'static str;

    /// Full name in saved states. For a rule around another rule, it includes the name of the inner rule.
    fn name() -> String {
        Self::NAME.to_owned()
    }

    /// Value by which arms are compared. It is not finite if mean or width is not finite, so that a choice among scores
    /// that overflow is refused. It depends on the generator only if [`selection`](Self::selection) defines a random
    /// draw.
    fn value<R: Rng + ?Sized>(&self, score: Score, rng: &mut R) -> f64;

    /// Rule with the settings that apply after `_learned` learned rewards. Policies call it once for each choice, and
    /// compare arms by the [`value`](Self::value) of the result.
    fn after(&self, _learned: u64) -> Self {
        self.clone()
    }

    /// Selection rule that applies after `_learned` learned rewards.
    fn selection(&self, _learned: u64) -> Selection {
        Selection::Index
    }

    /// Probability of a uniform draw in place of the selection rule, after `_learned` learned rewards.
    fn uniform_share(&self, _learned: u64) -> f64 {
        0.0
    }

    /// Minimum probability of each arm ([`Floor`](crate::exploration::Floor)).
    fn floor(&self) -> f64 {
        0.0
    }

    /// Refuses settings that are out of their range.
    ///
    /// # Errors
    /// [`Error::Parameter`] with the first setting that is out of its range.
    fn check(&self) -> Result<()>;
}

/// Refuses a floor if `arms` arms cannot all have it.
pub(crate) fn check_floor(floor: f64, arms: usize) -> Result<()> {
    // 1/K times K may be above 1 by rounding.
    if floor * arms as f64 <= 1.0 + 1e-12 { Ok(()) } else { Err(Error::Floor { floor, arms }) }
}

/// Probability of a uniform draw among `arms` arms, due to the rule's own uniform share and to its floor.
///
/// # Errors
/// [`Error::Floor`] if not all arms can have the floor.
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

/// Returns the mean, or NaN if the width is infinite. Rules that ignore widths use the result as the value of an arm.
#[inline(always)]
pub(super) fn mean_if_finite(score: Score) -> f64 {
    score.mean + 0.0 * score.width
}
