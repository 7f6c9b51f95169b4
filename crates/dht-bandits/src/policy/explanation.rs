//! Explanations of choices: the contribution of each feature to the mean of an arm's score.

use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Term of a linear score: the input value that one weight multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Term {
    /// Column of the context. Features of an arm follow the context's columns.
    Column(usize),
    /// Product of two columns of the context and features.
    Product(usize, usize),
    /// Constant term: the bias that a normaliser appends to contexts. If the normaliser also scales rewards, their mean
    /// is added.
    Constant,
}

/// Explanation of an arm's score: its mean, its width, and the contribution of each term to the mean.
///
/// ```
/// use dht_bandits::policy::Term;
/// use dht_bandits::{LinUcb, Policy, Request, Ridge, Ucb};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut policy = LinUcb::new(2, 2, Ridge::default(), Ucb { alpha: 0.5 })?;
/// let decision = policy.decide(&Request::new(&[1.0, 2.0]), &mut ChaCha8Rng::seed_from_u64(7))?;
/// policy.learn(&decision, 1.0)?;
/// let explanation = policy.explain(&decision)?;
/// // The second value contributes most, and the contributions sum to the mean.
/// assert_eq!(explanation.contributions[0].0, Term::Column(1));
/// let sum: f64 = explanation.contributions.iter().map(|(_, part)| part).sum();
/// assert!((sum - explanation.mean).abs() < 1e-12);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Explanation {
    /// Posterior mean: the expected reward, or its log-odds under a logistic model.
    pub mean: f64,
    /// Posterior standard deviation of the mean.
    pub width: f64,
    /// Contribution of each term to the mean, with the largest absolute value first. The contributions sum to the mean.
    /// Terms refer to columns of the raw context. If the policy has a normaliser, a contribution measures the effect of
    /// a value's difference from its average, since it is computed from the normalised value.
    pub contributions: Vec<(Term, f64)>,
}

impl Explanation {
    /// Explains a score whose mean is linear in the values of `row`. `terms` describes the positions of the row.
    /// `score` returns the mean and width of any row.
    pub(crate) fn linear(
        row: &[f64],
        terms: impl Fn(usize) -> Term,
        score: impl Fn(&[f64]) -> Result<crate::gaussian::Score>,
    ) -> Result<Self> {
        let whole = score(row)?;
        let mut alone = vec![0.0; row.len()];
        let mut contributions = Vec::new();
        for (place, &value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            alone[place] = value;
            contributions.push((terms(place), score(&alone)?.mean));
            alone[place] = 0.0;
        }
        let mut explanation = Self { mean: whole.mean, width: whole.width, contributions };
        explanation.sort();
        Ok(explanation)
    }

    /// Sorts contributions by absolute value, largest first. Equal contributions stay in column order.
    pub(crate) fn sort(&mut self) {
        self.contributions.sort_by(|left, right| right.1.abs().total_cmp(&left.1.abs()));
    }
}
