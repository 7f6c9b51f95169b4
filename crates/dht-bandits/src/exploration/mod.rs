//! Exploration rules: choices from the means and widths of arms.
//!
//! | rule | chooses | source |
//! |---|---|---|
//! | [`Ucb`] | the highest mean + α·width | Li et al. (2010), Algorithm 1 |
//! | [`Thompson`] | the highest mean + α·width·z, z ~ N(0, 1) | Agrawal & Goyal (2013) |
//! | [`EpsilonGreedy`] | the highest mean; with probability ε, an arm drawn uniformly | Sutton & Barto (2018), section 2.2 |
//! | [`DecayingGreedy`] | ε-greedy with ε decreasing in the number of learned rewards | Auer, Cesa-Bianchi & Fischer (2002), Figure 3 |
//! | [`ExploreFirst`] | uniformly at first, then the highest mean | Langford & Zhang (2007) |
//! | [`Softmax`] | with probability ∝ exp(mean/τ) | Sutton & Barto (2018), section 2.8 |
//! | [`SquareCb`] | with probability 1/(K + γ·gap), the rest to the best | Foster & Rakhlin (2020) |
//!
//! Each combines with every [`Posterior`](crate::posterior::Posterior); the last three and the greedy ones ignore
//! widths. [`Floor`] gives every arm a minimum probability under any rule.

mod decaying_greedy;
mod epsilon_greedy;
mod explore_first;
mod floor;
mod softmax;
mod square_cb;
mod thompson;

use crate::error::{Error, Result};
use crate::gaussian::Score;
use crate::validate::check_parameter;
use rand::{Rng, RngExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use decaying_greedy::DecayingGreedy;
pub use epsilon_greedy::EpsilonGreedy;
pub use explore_first::ExploreFirst;
pub use floor::Floor;
pub(crate) use softmax::Partition;
pub use softmax::Softmax;
pub use square_cb::SquareCb;
pub(crate) use square_cb::{InverseGap, inverse_gap};
pub use thompson::Thompson;

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

    /// Selection rule after `_learned` learned rewards.
    fn selection(&self, _learned: u64) -> Selection {
        Selection::Index
    }

    /// Probability of a uniform draw instead, after `_learned` learned rewards.
    fn uniform_share(&self, _learned: u64) -> f64 {
        0.0
    }

    /// Minimum probability of each arm ([`Floor`]).
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
fn mean_if_finite(score: Score) -> f64 {
    score.mean + 0.0 * score.width
}

/// Upper confidence bound: mean + α·width (Li et al. 2010, Algorithm 1, line 9).
///
/// α = 0 is greedy. The proof's α is 1 + √(ln(2/δ)/2); in practice 0.1 to 1 with rewards of unit scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ucb {
    /// The exploration factor α ≥ 0.
    pub alpha: f64,
}

impl Exploration for Ucb {
    const NAME: &'static str = "ucb";

    #[inline]
    fn value<R: Rng + ?Sized>(&self, score: Score, _: &mut R) -> f64 {
        score.mean + self.alpha * score.width
    }

    fn check(&self) -> Result<()> {
        check_parameter("alpha", self.alpha, self.alpha >= 0.0, "at least 0")
    }
}

/// Highest value so far; among equal values, each is selected with equal probability.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Best {
    pub(crate) slot: usize,
    pub(crate) value: f64,
    pub(crate) score: Score,
    pub(crate) ties: u32,
}

impl Best {
    pub(crate) fn new() -> Self {
        Self { slot: 0, value: f64::NEG_INFINITY, score: Score { mean: 0.0, width: 0.0 }, ties: 0 }
    }

    /// Returns the better of the best so far and this arm.
    #[inline(always)]
    pub(crate) fn or<R: Rng + ?Sized>(self, slot: usize, value: f64, score: Score, rng: &mut R) -> Self {
        if value < self.value {
            self
        } else if value == self.value {
            let ties = self.ties + 1;
            if wins_tie(ties, rng) { Self { slot, value, score, ties } } else { Self { ties, ..self } }
        } else if self.value.is_nan() {
            self
        } else {
            // A NaN wins and stays the best, so that the caller sees it.
            Self { slot, value, score, ties: 1 }
        }
    }
}

/// Returns whether the last of `ties` equal values is selected, with probability 1/`ties`. Kept out of line: a
/// generator in the loop over arms would use its registers.
#[cold]
#[inline(never)]
fn wins_tie<R: Rng + ?Sized>(ties: u32, rng: &mut R) -> bool {
    rng.random_range(0..ties) == 0
}
