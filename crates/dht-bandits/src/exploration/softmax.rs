//! Softmax (Boltzmann) exploration.

use super::{Exploration, Selection};
use crate::error::Result;
use crate::gaussian::Score;
use crate::validate::check_parameter;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// Softmax: an arm is chosen with probability exp(mean_a/τ)/Σ_b exp(mean_b/τ) (Sutton & Barto 2018, section 2.8;
/// Boltzmann exploration).
///
/// It is drawn as the highest of mean + τ·G, G a standard Gumbel variable −ln(−ln u): the same law (Gumbel 1954), in one
/// pass and without memory. In slates the K highest are a draw of Plackett and Luce's model. A constant τ never stops
/// exploring; widths are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Softmax {
    /// The temperature τ > 0, in units of the reward: low is greedy, high is uniform.
    pub temperature: f64,
}

impl Exploration for Softmax {
    const NAME: &'static str = "softmax";

    #[inline]
    fn value<R: Rng + ?Sized>(&self, score: Score, rng: &mut R) -> f64 {
        // u in (0, 1): both logarithms are finite.
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
