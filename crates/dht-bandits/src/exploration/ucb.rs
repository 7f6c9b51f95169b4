//! Upper confidence bounds.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::rule::Exploration;
use crate::error::Result;
use crate::gaussian::Score;
use crate::validate::check_parameter;

/// Upper confidence bound: selects the arm with the highest mean + α·width (Li et al. 2010, Algorithm 1, line 9).
///
/// α = 0 always selects the highest mean. The regret bound, which holds with probability 1 − δ, is proved for α = 1 +
/// √(ln(2/δ)/2). In practice α is .1 to 1 for rewards of unit scale.
///
/// ```
/// use dht_bandits::{ArmId, LinUcb, Policy, Request, Ridge, Ucb};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let mut policy = LinUcb::new(1, 2, Ridge::new(1.0), Ucb { alpha: 1.0 })?;
/// for _ in 0..10 {
///     policy.update(ArmId::new(0), &[1.0], 0.5, 1.0)?;
/// }
/// // Arm 1 is unknown: its bound is 0 + 1, that of arm 0 about .45 + .30.
/// assert_eq!(policy.select(&Request::new(&[1.0]), &mut rng)?.arm, ArmId::new(1));
/// // Without the width, the better mean counts.
/// policy.set_exploration(Ucb { alpha: 0.0 })?;
/// assert_eq!(policy.select(&Request::new(&[1.0]), &mut rng)?.arm, ArmId::new(0));
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ucb {
    /// Exploration factor α ≥ 0 on the width of a score.
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
