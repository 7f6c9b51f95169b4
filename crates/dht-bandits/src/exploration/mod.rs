//! Exploration rules: how the mean and the width of an arm become the value by which arms are compared.
//!
//! | rule | value | source |
//! |---|---|---|
//! | [`Ucb`] | mean + α·width | Li et al. (2010), Algorithm 1 |
//! | [`Thompson`] | mean + α·width·z, z ~ N(0, 1) | Agrawal & Goyal (2013) |
//! | [`Greedy`] | mean; with probability ε, an arm drawn uniformly | |

mod argmax;
mod epsilon_greedy;
mod thompson;
mod ucb;

use crate::error::Result;
use crate::gaussian::Score;
use rand::Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use argmax::Best;
pub use epsilon_greedy::Greedy;
pub use thompson::Thompson;
pub use ucb::Ucb;

/// An exploration rule: maps the score of an arm under the posterior to the value that is compared.
pub trait Exploration: Clone + std::fmt::Debug + PartialEq + Send + Sync + Serialize + DeserializeOwned {
    /// The name in saved states.
    const NAME: &'static str;

    /// Whether `value` depends on the generator, so that a propensity is an integral.
    const DRAWS: bool;

    /// The value to compare; not finite where mean or width is not, so that a choice among scores that overflow is
    /// refused.
    fn value<R: Rng + ?Sized>(&self, score: Score, rng: &mut R) -> f64;

    /// The probability with which an arm is drawn uniformly instead.
    fn uniform_share(&self) -> f64 {
        0.0
    }

    /// The factor on the posterior's deviation with which weights are drawn, where the value is a draw from the
    /// posterior.
    fn posterior_scale(&self) -> Option<f64> {
        None
    }

    /// Refuses settings out of their range.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter).
    fn check(&self) -> Result<()>;
}
