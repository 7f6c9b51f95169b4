//! Upper confidence bounds whose exploration factor grows with the number of rewards.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::rule::Exploration;
use crate::error::Result;
use crate::gaussian::Score;
use crate::validate::check_parameter;

/// Upper confidence bound whose exploration factor grows with the number n of learned rewards. An arm's value is mean +
/// α_n·width with α_n = min(limit, α·(1 + n/rounds)).
///
/// The best α depends on the number of rewards. In the long run, noisy rewards need an α of 1 or more. With α = ¼, an
/// arm that is unlucky in its first rewards may never be tried again. While there are few rewards per model weight,
/// however, so large an α would spend most rounds on exploration. With many rewards per weight, all widths are small
/// and exploration is cheap. `rounds` should therefore be proportional to the number of model weights.
///
/// The recommended settings use α = ¼, a limit of 3/2, and twice the number of model weights as `rounds`
/// ([`PolicySettings::recommended`](crate::policy::PolicySettings::recommended)).
///
/// ```
/// use dht_bandits::exploration::GrowingUcb;
/// use dht_bandits::{Policy, Request, Ridge, policy::Disjoint};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let (dimension, arms) = (2, 3);
/// let rule = GrowingUcb { alpha: 0.25, rounds: 2.0 * (dimension * arms) as f64, limit: 1.5 };
/// let policy = Disjoint::<Ridge, _>::new(dimension, arms, Ridge::default(), rule)?;
/// let decision = policy.decide(&Request::new(&[1.0, 0.2]), &mut ChaCha8Rng::seed_from_u64(7))?;
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrowingUcb {
    /// Exploration factor α before the first reward, at least 0.
    pub alpha: f64,
    /// Number of rewards, above 0, over which the factor increases by α.
    pub rounds: f64,
    /// Upper limit of the exploration factor, at least α.
    pub limit: f64,
}

impl Exploration for GrowingUcb {
    const NAME: &'static str = "growing-ucb";

    #[inline]
    fn value<R: Rng + ?Sized>(&self, score: Score, _: &mut R) -> f64 {
        score.mean + self.alpha * score.width
    }

    #[inline]
    fn after(&self, learned: u64) -> Self {
        let grown = self.alpha * (1.0 + learned as f64 / self.rounds);
        Self { alpha: grown.min(self.limit), ..*self }
    }

    fn check(&self) -> Result<()> {
        check_parameter("alpha", self.alpha, self.alpha >= 0.0, "at least 0")?;
        check_parameter("rounds", self.rounds, self.rounds > 0.0, "above 0")?;
        check_parameter("limit", self.limit, self.limit >= self.alpha, "at least alpha")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_grows_linearly_up_to_its_limit() {
        let rule = GrowingUcb { alpha: 0.25, rounds: 40.0, limit: 1.5 };
        for (learned, alpha) in [(0, 0.25), (40, 0.5), (60, 0.625), (200, 1.5), (u64::MAX, 1.5)] {
            assert_eq!(rule.after(learned).alpha, alpha, "{learned}");
        }
        let tiny = GrowingUcb { rounds: f64::MIN_POSITIVE, ..rule };
        assert_eq!((tiny.after(0).alpha, tiny.after(1).alpha), (0.25, 1.5));
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let rule = GrowingUcb { alpha: 0.25, rounds: 40.0, limit: 1.5 };
        rule.check().unwrap();
        for wrong in [
            GrowingUcb { alpha: -0.1, ..rule },
            GrowingUcb { alpha: f64::NAN, ..rule },
            GrowingUcb { rounds: 0.0, ..rule },
            GrowingUcb { rounds: f64::INFINITY, ..rule },
            GrowingUcb { limit: 0.2, ..rule },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
