//! SquareCB: exploration by inverse-gap weighting.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::rule::{Exploration, Selection, mean_if_finite};
use crate::error::Result;
use crate::gaussian::Score;
use crate::validate::check_parameter;

/// SquareCB: exploration by inverse-gap weighting (Foster & Rakhlin 2020, Algorithm 1). One of K arms, with mean m_a,
/// is chosen with probability p_a = 1/(K + γ_t·(m* − m_a)). The arm with the highest mean m* has the remaining
/// probability, 1 − Σ p_a.
///
/// γ_t = γ·(1 + t)^p after t learned rewards. The power p = ½ is the schedule of Foster & Rakhlin (2020) and of Vowpal
/// Wabbit (`--gamma_scale`, `--gamma_exponent`). The rule needs no widths of scores, and therefore works with any
/// regression. It scores each arm twice. Arms that tie for the highest mean share the remaining probability. Only
/// single arms can be chosen: a request for several arms at once (a slate) is an error.
///
/// ```
/// use dht_bandits::exploration::SquareCb;
/// use dht_bandits::{ArmId, Policy, Request, Ridge, policy::Disjoint};
///
/// let mut policy = Disjoint::<Ridge, _>::new(1, 2, Ridge::new(1.0), SquareCb::new(10.0))?;
/// policy.update(ArmId::new(0), &[1.0], 1.0, 1.0)?; // the mean of arm 0 is now 1/2
/// let propensities = policy.propensities(&Request::new(&[1.0]))?;
/// let gamma = 10.0 * 2.0_f64.sqrt(); // after one reward
/// assert!((propensities[1].probability - 1.0 / (2.0 + gamma * 0.5)).abs() < 1e-12);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SquareCb {
    /// Factor γ ≥ 0 before the first reward, in arms per unit of reward. A larger γ explores less; with γ = 0 arms are
    /// drawn uniformly.
    pub gamma: f64,
    /// Exponent p, in [0, 1], by which γ grows with the number of rewards. 0 keeps γ constant. The default is ½, for
    /// [`new`](Self::new) and for settings without this key.
    #[serde(default = "half")]
    pub power: f64,
}

fn half() -> f64 {
    0.5
}

impl SquareCb {
    /// Creates the rule with the exponent ½: γ_t = γ·√(1 + t) after t learned rewards.
    pub fn new(gamma: f64) -> Self {
        Self { gamma, power: 0.5 }
    }
}

impl Exploration for SquareCb {
    const NAME: &'static str = "square-cb";

    #[inline]
    fn value<R: Rng + ?Sized>(&self, score: Score, _: &mut R) -> f64 {
        mean_if_finite(score)
    }

    fn selection(&self, learned: u64) -> Selection {
        Selection::InverseGap { gamma: self.gamma * (1.0 + learned as f64).powf(self.power) }
    }

    fn check(&self) -> Result<()> {
        check_parameter("gamma", self.gamma, (0.0..=1e100).contains(&self.gamma), "from 0 to 1e100")?;
        check_parameter("power", self.power, (0.0..=1.0).contains(&self.power), "in [0, 1]")
    }
}

/// Probability 1/(K + γ·gap) of choosing an arm whose mean is below the highest mean by `gap`.
pub(crate) fn inverse_gap(arms: usize, gamma: f64, gap: f64) -> f64 {
    1.0 / (arms as f64 + gamma * gap)
}

/// Draw of an arm by inverse-gap weighting, in one pass over the arms. It selects the first arm at which the cumulative
/// probability exceeds `point`, a number drawn from [0, 1). If there is none, it selects the best arm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InverseGap {
    pub(crate) gamma: f64,
    pub(crate) arms: usize,
    /// Index and mean of the arm with the highest mean.
    pub(crate) best: (usize, f64),
    pub(crate) point: f64,
    /// Total probability of the arms visited so far, without the best arm.
    pub(crate) sum: f64,
    /// Total probability of the arms visited so far, without arms that have the highest mean.
    pub(crate) below: f64,
    pub(crate) chosen: Option<(usize, Score, f64)>,
}

impl InverseGap {
    pub(crate) fn new(gamma: f64, arms: usize, best: (usize, f64), point: f64) -> Self {
        Self { gamma, arms, best, point, sum: 0.0, below: 0.0, chosen: None }
    }

    pub(crate) fn or(mut self, index: usize, score: Score) -> Self {
        if index == self.best.0 {
            return self;
        }
        let gap = self.best.1 - score.mean;
        let probability = inverse_gap(self.arms, self.gamma, gap);
        self.sum += probability;
        if gap > 0.0 {
            self.below += probability;
        }
        if self.chosen.is_none() && self.sum > self.point {
            self.chosen = Some((index, score, probability));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_and_the_schedule_are_those_of_the_formula() {
        assert_eq!(inverse_gap(4, 10.0, 0.6), 0.1);
        let gamma = |rule: SquareCb, learned| match rule.selection(learned) {
            Selection::InverseGap { gamma } => gamma,
            _ => f64::NAN,
        };
        assert_eq!(gamma(SquareCb::new(10.0), 0), 10.0);
        assert_eq!(gamma(SquareCb::new(10.0), 99), 100.0);
        assert_eq!(gamma(SquareCb { gamma: 10.0, power: 0.0 }, 99), 10.0);
        assert!(SquareCb::new(-1.0).check().is_err());
    }

    #[test]
    fn a_draw_takes_each_arm_where_the_sum_passes_it() {
        // Means .9, .3, .9, .5, the third is the best: γ = 10 gives 1/4, 1/10, the rest, 1/8.
        let scores = [0.9, 0.3, 0.9, 0.5].map(|mean| Score { mean, width: 1.0 });
        let draw = |point: f64| {
            let first = InverseGap::new(10.0, 4, (2, 0.9), point);
            scores.iter().enumerate().fold(first, |draw, (index, &score)| draw.or(index, score))
        };
        for (point, expected) in [(0.0, Some(0)), (0.24, Some(0)), (0.26, Some(1)), (0.36, Some(3)), (0.48, None)] {
            assert_eq!(draw(point).chosen.map(|(index, ..)| index), expected, "{point}");
        }
        assert!((draw(0.0).sum - 0.475).abs() < 1e-15 && (draw(0.0).below - 0.225).abs() < 1e-15);
    }
}
