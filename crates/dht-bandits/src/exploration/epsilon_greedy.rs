//! ε-greedy exploration, with constant or decreasing ε.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::rule::{Exploration, mean_if_finite};
use crate::error::Result;
use crate::gaussian::Score;
use crate::validate::check_parameter;

/// ε-greedy exploration rule: draws an arm uniformly with probability ε_t, and otherwise selects the arm with the
/// highest mean. Each of K arms is chosen with probability ε_t/K, and the arm with the highest mean with 1 − ε_t in
/// addition. Arms that tie for the highest mean share this addition.
///
/// Let t be the number of learned rewards. ε_t is 1 while t < `first`, and min(1, ε·(1 + t)^−`power`) afterwards:
///
/// * [`new`](Self::new) keeps ε constant; 0 never explores.
/// * [`with_decay`](Self::with_decay) lets ε decrease. Power 1 and ε = cK/d², with a constant c, give ε_n-GREEDY of
///   Auer, Cesa-Bianchi & Fischer (2002), Figure 3. Its regret is logarithmic if the means of the two best arms differ
///   by at least d. With power 1/3 this difference need not be known, and the regret after T rounds is O(T^⅔).
/// * [`with_first`](Self::with_first) explores uniformly at first (explore-first). With ε = 0 it is the epoch-greedy
///   algorithm of Langford & Zhang (2007) with a single epoch. Its regret is O(T^⅔) with `first` ~ T^⅔. The log of the
///   first rounds can be used to evaluate every policy. In later rounds all propensities are 1 or 0.
///
/// Only learned rewards count: ε_t does not change while the policy chooses without feedback.
///
/// ```
/// use dht_bandits::exploration::EpsilonGreedy;
/// use dht_bandits::{ArmId, Policy, Request, Ridge, policy::Disjoint};
///
/// let mut policy = Disjoint::<Ridge, _>::new(1, 4, Ridge::new(1.0), EpsilonGreedy::new(0.1))?;
/// policy.update(ArmId::new(2), &[1.0], 1.0, 1.0)?;
/// let propensities = policy.propensities(&Request::new(&[1.0]))?;
/// assert!((propensities[2].probability - 0.925).abs() < 1e-12); // .1/4 + .9
/// assert!((propensities[0].probability - 0.025).abs() < 1e-12);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpsilonGreedy {
    /// Probability ε, in [0, 1], of drawing an arm uniformly. With a decay, ε is the initial factor of the decreasing
    /// probability, and may be any number from 0 on.
    pub epsilon: f64,
    /// Exponent by which ε decreases with the number of rewards, in [0, 1]. 0 keeps ε constant.
    #[serde(default)]
    pub power: f64,
    /// Number of rewards up to which all arms are drawn uniformly. 0 for no such phase.
    #[serde(default)]
    pub first: u64,
}

impl EpsilonGreedy {
    /// Creates an ε-greedy rule with constant ε.
    pub const fn new(epsilon: f64) -> Self {
        Self { epsilon, power: 0.0, first: 0 }
    }

    /// Lets ε decrease with the number t of learned rewards: ε_t = min(1, ε·(1 + t)^−power).
    #[must_use]
    pub const fn with_decay(self, power: f64) -> Self {
        Self { power, ..self }
    }

    /// Draws arms uniformly until `first` rewards have been learned.
    #[must_use]
    pub const fn with_first(self, first: u64) -> Self {
        Self { first, ..self }
    }
}

impl Exploration for EpsilonGreedy {
    const NAME: &'static str = "epsilon-greedy";

    #[inline]
    fn value<R: Rng + ?Sized>(&self, score: Score, _: &mut R) -> f64 {
        mean_if_finite(score)
    }

    #[inline]
    fn uniform_share(&self, learned: u64) -> f64 {
        if learned < self.first {
            1.0
        } else if self.power == 0.0 {
            self.epsilon
        } else {
            (self.epsilon * (1.0 + learned as f64).powf(-self.power)).min(1.0)
        }
    }

    fn check(&self) -> Result<()> {
        let Self { epsilon, power, .. } = *self;
        check_parameter("power", power, (0.0..=1.0).contains(&power), "in [0, 1]")?;
        if power == 0.0 {
            check_parameter("epsilon", epsilon, (0.0..=1.0).contains(&epsilon), "in [0, 1]")
        } else {
            check_parameter("epsilon", epsilon, epsilon >= 0.0, "at least 0")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epsilon_falls_as_the_formula_says() {
        let rule = EpsilonGreedy::new(5.0).with_decay(1.0);
        let shares = [0, 3, 4, 9, 99].map(|learned| rule.uniform_share(learned));
        assert_eq!(shares, [1.0, 1.0, 1.0, 0.5, 0.05]);
        let slow = EpsilonGreedy::new(1.0).with_decay(1.0 / 3.0);
        assert!((slow.uniform_share(7) - 0.5).abs() < 1e-15 && (slow.uniform_share(999) - 0.1).abs() < 1e-15);
        let first = EpsilonGreedy::new(0.25).with_first(3);
        assert_eq!([0, 2, 3, 99].map(|learned| first.uniform_share(learned)), [1.0, 1.0, 0.25, 0.25]);
    }

    #[test]
    fn epsilon_and_power_out_of_range_are_refused() {
        let refused = |rule: EpsilonGreedy| rule.check().is_err();
        assert!(refused(EpsilonGreedy::new(5.0)) && refused(EpsilonGreedy::new(-0.1)));
        assert!(refused(EpsilonGreedy::new(f64::NAN)) && refused(EpsilonGreedy::new(f64::NAN).with_decay(1.0)));
        assert!(refused(EpsilonGreedy::new(1.0).with_decay(1.5)));
        assert!(!refused(EpsilonGreedy::new(5.0).with_decay(0.5).with_first(9)));
    }
}
