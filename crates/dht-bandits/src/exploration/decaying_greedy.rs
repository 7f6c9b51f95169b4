//! ε-greedy exploration with decreasing ε.

use super::rule::{Exploration, mean_if_finite};
use crate::error::Result;
use crate::gaussian::Score;
use crate::validate::check_parameter;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// ε-greedy with ε_t = min(1, ε·(1 + t)^−p) after t learned rewards.
///
/// With p = 1 and ε = cK/d² it is ε_n-GREEDY of Auer, Cesa-Bianchi & Fischer (2002), Figure 3, whose regret is
/// logarithmic where the gap between the best arms is at least d. With p = 1/3 it is the epoch-free form whose regret
/// is O(T^⅔) without a known gap. t counts learned rewards, not choices: without feedback ε stays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecayingGreedy {
    /// ε before the first reward, positive; where the formula gives more than 1, ε_t is 1.
    pub epsilon: f64,
    /// Exponent p of the decay, in [0, 1].
    pub power: f64,
}

impl Exploration for DecayingGreedy {
    const NAME: &'static str = "decaying-greedy";

    #[inline]
    fn value<R: Rng + ?Sized>(&self, score: Score, _: &mut R) -> f64 {
        mean_if_finite(score)
    }

    fn uniform_share(&self, learned: u64) -> f64 {
        (self.epsilon * (1.0 + learned as f64).powf(-self.power)).min(1.0)
    }

    fn check(&self) -> Result<()> {
        check_parameter("epsilon", self.epsilon, self.epsilon >= 0.0, "at least 0")?;
        check_parameter("power", self.power, (0.0..=1.0).contains(&self.power), "in [0, 1]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epsilon_falls_as_the_formula_says() {
        let rule = DecayingGreedy { epsilon: 5.0, power: 1.0 };
        let shares = [0, 3, 4, 9, 99].map(|learned| rule.uniform_share(learned));
        assert_eq!(shares, [1.0, 1.0, 1.0, 0.5, 0.05]);
        let slow = DecayingGreedy { epsilon: 1.0, power: 1.0 / 3.0 };
        assert!((slow.uniform_share(7) - 0.5).abs() < 1e-15 && (slow.uniform_share(999) - 0.1).abs() < 1e-15);
        assert!(DecayingGreedy { epsilon: 1.0, power: 1.5 }.check().is_err());
        assert!(DecayingGreedy { epsilon: f64::NAN, power: 1.0 }.check().is_err());
    }
}
