//! Explanations of choices: the part of each feature in the mean of an arm.

use crate::error::Result;
use serde::{Deserialize, Serialize};

/// Value that a weight is multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Term {
    /// A column of the decision's context, which the features of the arm follow.
    Column(usize),
    /// The product of two of these columns.
    Product(usize, usize),
    /// The constant of a normaliser, and the mean of scaled rewards.
    Constant,
}

/// Mean and width of the chosen arm, and the contribution of each term to the mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Explanation {
    /// Posterior mean: the expected reward, or its log-odds under a logistic model.
    pub mean: f64,
    /// Posterior width.
    pub width: f64,
    /// Terms with their parts of the mean, which sum to it; the largest in absolute value first. Columns are those of
    /// raw contexts, and parts those of normalised values if the policy has a normaliser: they say by how much a value
    /// differs from the usual.
    pub contributions: Vec<(Term, f64)>,
}

impl Explanation {
    /// Explains a mean that is linear in the values of a row: `score` returns mean and width of a row.
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

    /// Sorts contributions by absolute value, largest first; equal ones stay in the order of columns.
    pub(crate) fn sort(&mut self) {
        self.contributions.sort_by(|left, right| right.1.abs().total_cmp(&left.1.abs()));
    }
}
