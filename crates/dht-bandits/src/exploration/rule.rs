//! The trait of exploration rules, and their probabilities of uniform draws.

use crate::error::{Error, Result};
use crate::gaussian::Score;
use rand::Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Selection rule of an exploration rule, given the scores of arms; propensities are computed from it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Selection {
    /// The highest value, which is a function of the score; ties are broken uniformly.
    Index,
    /// The highest value, drawn from N(mean, (scale·width)²), independently for each arm. With shared weights the
    /// weights are drawn, with `scale` times their deviation.
    Sampled {
        /// Factor on the posterior's standard deviation.
        scale: f64,
    },
    /// An arm drawn with probability ∝ exp(mean/temperature).
    Softmax {
        /// Temperature, positive.
        temperature: f64,
    },
    /// An arm drawn with probability 1/(K + γ·(highest mean − mean)); the arm of the highest mean has the rest.
    InverseGap {
        /// γ, at least 0.
        gamma: f64,
    },
}

/// An exploration rule: maps the scores of arms under the posterior to a choice.
pub trait Exploration:
    Clone + std::fmt::Debug + PartialEq + Send + Sync + Serialize + DeserializeOwned + 'static
{
    /// Name in saved states.
    const NAME: &'static str;

    /// Full name in saved states; for a rule around another rule it includes the inner name.
    fn name() -> String {
        Self::NAME.to_owned()
    }

    /// Value by which arms are compared; not finite if mean or width is not, so that a choice among scores that
    /// overflow is refused. It depends on the generator only where [`selection`](Self::selection) defines the draw.
    fn value<R: Rng + ?Sized>(&self, score: Score, rng: &mut R) -> f64;

    /// Rule with the settings that hold after `_learned` learned rewards. Policies call it once for each choice, and
    /// compare arms by the [`value`](Self::value) of the result.
    fn after(&self, _learned: u64) -> Self {
        self.clone()
    }

    /// Selection rule after `_learned` learned rewards.
    fn selection(&self, _learned: u64) -> Selection {
        Selection::Index
    }

    /// Probability of a uniform draw instead, after `_learned` learned rewards.
    fn uniform_share(&self, _learned: u64) -> f64 {
        0.0
    }

    /// Minimum probability of each arm ([`Floor`](crate::exploration::Floor)).
    fn floor(&self) -> f64 {
        0.0
    }

    /// Refuses settings out of their range.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    fn check(&self) -> Result<()>;
}

/// Refuses a floor that not all of `arms` arms can have.
pub(crate) fn check_floor(floor: f64, arms: usize) -> Result<()> {
    // 1/K times K may be above 1 by rounding.
    if floor * arms as f64 <= 1.0 + 1e-12 { Ok(()) } else { Err(Error::Floor { floor, arms }) }
}

/// Probability of a uniform draw among `arms` arms: the rule's own share and that of its floor.
///
/// # Errors
/// [`Error::Floor`]: a floor that not all arms can have.
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

/// Returns the mean, or NaN if the width is infinite: the value of rules that ignore widths.
#[inline(always)]
pub(super) fn mean_if_finite(score: Score) -> f64 {
    score.mean + 0.0 * score.width
}
