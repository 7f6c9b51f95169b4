//! Floor: a minimum probability of every arm, for any exploration rule.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::rule::{Exploration, Selection};
use crate::error::Result;
use crate::gaussian::Score;
use crate::validate::check_parameter;

/// Exploration rule with a floor (minimum probability): each arm is chosen with at least the probability p. An arm that
/// the inner rule chooses with probability π is chosen with probability p + (1 − Kp)·π, for K available arms. From the
/// log of such a policy every other policy can be evaluated, with importance weights of at most 1/p.
///
/// With probability Kp an arm is drawn uniformly, otherwise the inner rule chooses. In slates (lists of arms shown at
/// once) this applies to each position, so that each arm is shown with at least probability p. If the floor is above
/// 1/K, not all K arms can have it, and choosing fails with [`Error::Floor`](crate::Error::Floor).
///
/// ```
/// use dht_bandits::exploration::Floor;
/// use dht_bandits::{Policy, Request, Ridge, Ucb, policy::Disjoint};
///
/// let rule = Floor::new(Ucb { alpha: 0.5 }, 0.02)?;
/// let policy = Disjoint::<Ridge, _>::new(1, 4, Ridge::default(), rule)?;
/// let propensities = policy.propensities(&Request::new(&[1.0]))?;
/// assert!(propensities.iter().all(|entry| entry.probability >= 0.02));
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor<E> {
    /// Exploration rule to which the floor (minimum probability of each arm) is added.
    pub rule: E,
    /// Floor (minimum probability of each arm), in [0, 1]. It must be at most 1/K for a choice among K arms.
    pub probability: f64,
}

impl<E: Exploration> Floor<E> {
    /// Adds a floor (minimum probability of each arm) to an exploration rule.
    ///
    /// # Errors
    /// Fails if the floor is outside [0, 1], or if a setting of the rule is out of its range.
    pub fn new(rule: E, probability: f64) -> Result<Self> {
        let floor = Self { rule, probability };
        floor.check()?;
        Ok(floor)
    }
}

impl<E: Exploration> Exploration for Floor<E> {
    const NAME: &'static str = "floor";

    fn name() -> String {
        format!("{}/{}", Self::NAME, E::name())
    }

    #[inline]
    fn value<R: Rng + ?Sized>(&self, score: Score, rng: &mut R) -> f64 {
        self.rule.value(score, rng)
    }

    #[inline]
    fn after(&self, learned: u64) -> Self {
        Self { rule: self.rule.after(learned), probability: self.probability }
    }

    #[inline]
    fn selection(&self, learned: u64) -> Selection {
        self.rule.selection(learned)
    }

    #[inline]
    fn uniform_share(&self, learned: u64) -> f64 {
        self.rule.uniform_share(learned)
    }

    #[inline]
    fn floor(&self) -> f64 {
        // Of two nested floors, the higher one applies.
        self.probability.max(self.rule.floor())
    }

    fn check(&self) -> Result<()> {
        self.rule.check()?;
        check_parameter("floor", self.probability, (0.0..=1.0).contains(&self.probability), "in [0, 1]")
    }
}
