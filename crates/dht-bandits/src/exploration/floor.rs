//! Minimum probability of every arm under any exploration rule.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::rule::{Exploration, Selection};
use crate::error::Result;
use crate::gaussian::Score;
use crate::validate::check_parameter;

/// Rule with a floor p under the probability of each arm. Each of K arms is chosen with probability p + (1 − Kp)·π ≥ p,
/// where π is the probability under the inner rule. A log of its decisions supports every policy, with importance
/// weights of at most 1/p.
///
/// A draw is uniform with probability Kp, and follows the inner rule otherwise. In slates this applies to each
/// position, so that each arm is shown with at least probability p. If the floor is above 1/K, K arms cannot all have
/// it, and choosing is refused ([`Error::Floor`](crate::Error::Floor)).
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
    /// Inner exploration rule.
    pub rule: E,
    /// Floor p in [0, 1]. It must be at most 1/K when one of K arms is chosen.
    pub probability: f64,
}

impl<E: Exploration> Floor<E> {
    /// Adds a floor to an exploration rule.
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
