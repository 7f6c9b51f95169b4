//! Thompson sampling: arms are compared by random draws from the posterior of their scores.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::rule::{Exploration, Selection};
use crate::error::Result;
use crate::gaussian::Score;
use crate::validate::check_parameter;

/// Thompson sampling: selects the arm with the highest mean + α·width·z, with z ~ N(0, 1) drawn separately for each
/// arm.
///
/// If each arm has its own weights, no weight vector has to be drawn. Let θ and P be the posterior mean and covariance
/// of an arm's weights, and x the context. The score θ̃'x of drawn weights θ̃ ~ N(θ, α²P) is Gaussian with mean θ'x and
/// variance α²x'Px, and independent of the other arms (Agrawal & Goyal 2013, Algorithm 1, where v is α).
///
/// ```
/// use dht_bandits::{ArmId, LinTs, Policy, Request, Ridge, Thompson};
///
/// let mut policy = LinTs::new(1, 2, Ridge::new(1.0), Thompson { alpha: 1.0 })?;
/// let before = policy.propensities(&Request::new(&[1.0]))?;
/// assert!((before[0].probability - 0.5).abs() < 1e-6);
/// policy.update(ArmId::new(0), &[1.0], 1.0, 1.0)?;
/// let after = policy.propensities(&Request::new(&[1.0]))?;
/// assert!(after[0].probability > 0.6 && after[0].probability < 0.7);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thompson {
    /// Factor α ≥ 0 on the posterior standard deviation. 1 samples from the Bayesian posterior for noise of variance 1.
    pub alpha: f64,
}

impl Exploration for Thompson {
    const NAME: &'static str = "thompson";

    #[inline]
    fn value<R: Rng + ?Sized>(&self, score: Score, rng: &mut R) -> f64 {
        let normal: f64 = StandardNormal.sample(rng);
        score.mean + self.alpha * score.width * normal
    }

    #[inline]
    fn selection(&self, _: u64) -> Selection {
        Selection::Sampled { scale: self.alpha }
    }

    fn check(&self) -> Result<()> {
        check_parameter("alpha", self.alpha, self.alpha >= 0.0, "at least 0")
    }
}
