//! ε-greedy exploration, with constant or decreasing ε.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::rule::{Exploration, mean_if_finite};
use crate::error::Result;
use crate::gaussian::Score;
use crate::validate::check_parameter;

/// ε-greedy rule: selects the arm with the highest mean, and with probability ε_t an arm drawn uniformly. Each of K
/// arms is chosen with probability ε_t/K + (1 − ε_t)·\[best\]. \[best\] is 1 for the arm with the highest mean, and 0
/// for the others. Arms that tie for the highest mean share the second term.
///
/// After t learned rewards, ε_t is 1 if t < `first`, and min(1, ε·(1 + t)^−`power`) otherwise:
///
/// * [`new`](Self::new) keeps ε constant; 0 never explores.
/// * [`with_decay`](Self::with_decay) lets ε decrease. With power 1 and ε = cK/d², for a constant c, it is ε_n-GREEDY
///   of Auer, Cesa-Bianchi & Fischer (2002), Figure 3, whose regret is logarithmic if the gap between the best arms is
///   at least d. With power 1/3 the rule needs no epochs, and its regret after T rounds is O(T^⅔) without a known gap.
/// * [`with_first`](Self::with_first) explores first. With ε = 0 it is the epoch-greedy algorithm of Langford & Zhang
///   (2007) with a single epoch. Its regret is O(T^⅔) with `first` ~ T^⅔. The log of the first rounds can evaluate
///   every policy. Afterwards propensities are 1 and 0.
///
/// t counts learned rewards, not choices: without feedback, ε_t does not change.
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
    /// Fraction ε of rounds that draw uniformly, in [0, 1]. With a decay, it is the initial factor, at least 0.
    pub epsilon: f64,
    /// Exponent of the decay, in [0, 1]; 0 for a constant ε.
    #[serde(default)]
    pub power: f64,
    /// Number of rewards that are learned from uniformly drawn arms before the rule applies.
    #[serde(default)]
    pub first: u64,
}

impl EpsilonGreedy {
    /// Creates a rule with constant ε.
    pub const fn new(epsilon: f64) -> Self {
        Self { epsilon, power: 0.0, first: 0 }
    }

    /// Sets the exponent of the decay: ε_t = min(1, ε·(1 + t)^−power).
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
