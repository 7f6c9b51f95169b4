//! Softmax (Boltzmann) exploration.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::rule::{Exploration, Selection};
use crate::error::Result;
use crate::gaussian::Score;
use crate::validate::check_parameter;

/// Softmax (Boltzmann) exploration: chooses arm a with probability exp(mean_a/τ)/Σ_b exp(mean_b/τ), with the
/// temperature τ (Sutton & Barto 2018, section 2.8).
///
/// The implementation selects the highest mean + τ·G, where G = −ln(−ln u) with u uniform in (0, 1) is a standard
/// Gumbel variable. This has the same distribution (Gumbel 1954), and needs one pass over the arms and no memory. In a
/// slate (list of arms shown at once), the K arms with the highest values are a draw from the Plackett-Luce model.
/// Exploration never stops, since τ is constant. The widths of scores are ignored.
///
/// ```
/// use dht_bandits::exploration::Softmax;
/// use dht_bandits::{ArmId, Policy, Request, Ridge, policy::Disjoint};
///
/// let mut policy = Disjoint::<Ridge, _>::new(1, 2, Ridge::new(1.0), Softmax { temperature: 0.5 })?;
/// policy.update(ArmId::new(0), &[1.0], 1.0, 1.0)?; // the mean of arm 0 is now 1/2
/// let propensities = policy.propensities(&Request::new(&[1.0]))?;
/// let expected = 1.0_f64.exp() / (1.0_f64.exp() + 1.0);
/// assert!((propensities[0].probability - expected).abs() < 1e-12);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Softmax {
    /// Temperature τ > 0, in units of the reward. A low temperature gives nearly greedy choices, a high one nearly
    /// uniform choices.
    pub temperature: f64,
}

/// Running sum of exp(mean/τ) over arms, the denominator of the softmax. It is relative to the largest term, so that it
/// cannot overflow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Partition {
    temperature: f64,
    largest: f64,
    sum: f64,
}

impl Partition {
    pub(crate) fn new(temperature: f64) -> Self {
        Self { temperature, largest: f64::NEG_INFINITY, sum: 0.0 }
    }

    #[inline(always)]
    pub(crate) fn plus(self, mean: f64) -> Self {
        let Self { temperature, largest, sum } = self;
        if mean > largest {
            Self { temperature, largest: mean, sum: 1.0 + sum * ((largest - mean) / temperature).exp() }
        } else {
            Self { temperature, largest, sum: sum + ((mean - largest) / temperature).exp() }
        }
    }

    /// Softmax probability of an arm with this mean. It is never 0, because the arm could be drawn.
    pub(crate) fn probability(self, mean: f64) -> f64 {
        (((mean - self.largest) / self.temperature).exp() / self.sum).max(f64::MIN_POSITIVE)
    }
}

impl Exploration for Softmax {
    const NAME: &'static str = "softmax";

    #[inline]
    fn value<R: Rng + ?Sized>(&self, score: Score, rng: &mut R) -> f64 {
        // u lies in (0, 1), so that both logarithms are finite.
        let u = (rng.random::<f64>() + 2f64.powi(-54)).min(1.0 - f64::EPSILON / 2.0);
        score.mean + 0.0 * score.width - self.temperature * (-u.ln()).ln()
    }

    fn selection(&self, _: u64) -> Selection {
        Selection::Softmax { temperature: self.temperature }
    }

    fn check(&self) -> Result<()> {
        let fits = (1e-100..=1e100).contains(&self.temperature);
        check_parameter("temperature", self.temperature, fits, "positive, from 1e-100 to 1e100")
    }
}
