//! How a mean and a width become one number to compare arms by.

mod argmax;

use crate::error::{Result, check_parameter};
use crate::gaussian::Score;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) use argmax::Best;

/// The part of a policy that explores: it turns what the posterior says of an arm into the number that is compared.
pub trait Index: Clone + std::fmt::Debug + PartialEq + Send + Sync + Serialize + DeserializeOwned {
    /// The name in saved states.
    const NAME: &'static str;

    /// Whether `value` depends on the generator, so that a propensity is an integral.
    const DRAWS: bool;

    /// The number to compare; not finite where mean or width is not, so that a choice among scores that overflow is refused.
    fn value<R: Rng + ?Sized>(&self, score: Score, rng: &mut R) -> f64;

    /// The probability with which all this is set aside and an arm drawn uniformly.
    fn uniform_share(&self) -> f64 {
        0.0
    }

    /// The factor on the posterior's deviation with which weights are drawn, where the index is a draw from the posterior.
    fn posterior_scale(&self) -> Option<f64> {
        None
    }

    /// Refuses settings out of their range.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter).
    fn check(&self) -> Result<()>;
}

/// Upper confidence bound: mean + α·width (Li et al. 2010, Algorithm 1, line 9).
///
/// α = 0 is greedy. The proof's α is 1 + √(ln(2/δ)/2); in practice 0.1 to 1 with rewards of unit scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ucb {
    /// The exploration factor α ≥ 0.
    pub alpha: f64,
}

impl Index for Ucb {
    const NAME: &'static str = "ucb";
    const DRAWS: bool = false;

    #[inline]
    fn value<R: Rng + ?Sized>(&self, score: Score, _: &mut R) -> f64 {
        score.mean + self.alpha * score.width
    }

    fn check(&self) -> Result<()> {
        check_parameter("alpha", self.alpha, self.alpha >= 0.0, "at least 0")
    }
}

/// Thompson sampling: mean + α·width·z with z ~ N(0, 1), drawn anew for each arm.
///
/// With disjoint arms this is exactly the score θ̃'x of a draw θ̃ ~ N(θ, α²P): a linear form of a Gaussian is Gaussian
/// with mean θ'x and variance α²x'Px, and the arms' draws are independent. So no vector is drawn (Agrawal & Goyal 2013,
/// Algorithm 1, whose v is α).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Thompson {
    /// The scale α ≥ 0 of the posterior's standard deviation; 1 is Bayes for unit noise.
    pub alpha: f64,
}

impl Index for Thompson {
    const NAME: &'static str = "thompson";
    const DRAWS: bool = true;

    #[inline]
    fn value<R: Rng + ?Sized>(&self, score: Score, rng: &mut R) -> f64 {
        let normal: f64 = StandardNormal.sample(rng);
        score.mean + self.alpha * score.width * normal
    }

    fn posterior_scale(&self) -> Option<f64> {
        Some(self.alpha)
    }

    fn check(&self) -> Result<()> {
        check_parameter("alpha", self.alpha, self.alpha >= 0.0, "at least 0")
    }
}

/// ε-greedy: the highest mean, and with probability ε an arm drawn uniformly. Its propensities are known exactly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epsilon {
    /// The share ε in [0, 1] of rounds that draw uniformly.
    pub epsilon: f64,
}

impl Index for Epsilon {
    const NAME: &'static str = "epsilon-greedy";
    const DRAWS: bool = false;

    #[inline]
    fn value<R: Rng + ?Sized>(&self, score: Score, _: &mut R) -> f64 {
        // Not a number where the width is infinite.
        score.mean + 0.0 * score.width
    }

    fn uniform_share(&self) -> f64 {
        self.epsilon
    }

    fn check(&self) -> Result<()> {
        check_parameter("epsilon", self.epsilon, (0.0..=1.0).contains(&self.epsilon), "in [0, 1]")
    }
}
