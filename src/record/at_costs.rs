//! Scores at given costs of inference: of this project's model beside every kind of opponent.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::right::RightTexts;
use super::summary::Summary;

/// What each kind of model scores at each cost. Thresholds, and which model of a kind is taken, are chosen on validation rows;
/// the scores are those of the test rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AtCosts {
    /// FLOPs of inference over the full model's.
    pub costs: Vec<f64>,
    /// One kind of model each.
    pub rows: Vec<KindAtCosts>,
    /// This project's model against others.
    pub comparisons: Vec<Comparison>,
}

/// What a kind of opponent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoders {
    /// No encoder.
    None,
    /// One encoder, whole or up to some layer.
    One,
    /// Two encoders in a row.
    Two,
    /// This project's accelerated model: one encoder.
    Accelerated,
}

/// A kind of model at each cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KindAtCosts {
    /// The kind.
    pub kind: String,
    /// What it runs.
    pub encoders: Encoders,
    /// The seeds that finished.
    pub seeds: Vec<u64>,
    /// By ascending cost; costs below that of every model of the kind are missing.
    pub cells: Vec<CellAtCost>,
}

/// A kind of model at one cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellAtCost {
    /// The cost.
    pub cost: f64,
    /// The model of the kind with the highest accuracy on validation rows.
    pub setting: String,
    /// On the test rows.
    pub accuracy: Summary,
    /// On the test rows.
    pub macro_f1: Summary,
    /// FLOPs over the full model's, on the test rows.
    pub flops_ratio: f64,
    /// The test rows that are answered right; records of earlier releases do not have them.
    #[serde(default, skip_serializing_if = "RightTexts::is_empty")]
    pub right: RightTexts,
}

/// Accuracy of this project's model less that of the best of some others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What it is compared with.
    pub against: String,
    /// By ascending cost; costs at which one of both cannot be had are missing.
    pub differences: Vec<Difference>,
    /// The mean over the costs from .1 to .35 that have a difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<Interval>,
}

impl Comparison {
    /// The costs that means are over.
    pub(crate) const MEAN_OF: std::ops::RangeInclusive<f64> = 0.1..=0.35;

    /// The mean over the same costs against the models with the highest accuracy on the test rows, which favours those; `None` where they
    /// are the ones compared with.
    pub fn mean_against_best_on_test(&self) -> Option<f64> {
        let within: Vec<&Difference> =
            self.differences.iter().filter(|own| Self::MEAN_OF.contains(&own.cost)).collect();
        let others = within.iter().any(|own| own.best_on_test != own.interval.mean);
        others.then(|| within.iter().map(|own| own.best_on_test).sum::<f64>() / within.len() as f64)
    }
}

/// A difference at one cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The cost.
    pub cost: f64,
    /// The model with the highest accuracy on validation rows.
    pub rival: String,
    /// Accuracy on the test rows less the rival's.
    pub interval: Interval,
    /// The same against the model with the highest accuracy on the test rows, which favours that one.
    pub best_on_test: f64,
    /// FLOPs over the full model's at which both are compared: the rival's on the test rows. Missing where this project's own cost counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flops_ratio: Option<f64>,
}

/// A mean and its two-sided 95 % interval: paired bootstrap over test texts, and over seeds where there are several.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// The lower end.
    pub lower: f64,
    /// The upper end.
    pub upper: f64,
}

/// Resamples of a bootstrap, and the share of them that an interval contains.
const RESAMPLES: usize = 2_000;
const CONFIDENCE: f64 = 0.95;

impl Interval {
    /// The mean of differences by seed and text, and its interval. A resample draws seeds with replacement, and one sample of texts
    /// with replacement for all of them (paired bootstrap: Efron and Tibshirani 1993, percentile interval).
    pub(crate) fn of_paired<R: Rng + ?Sized>(differences: &[Vec<f64>], rng: &mut R) -> Self {
        let mean = |rows: &[f64]| rows.iter().sum::<f64>() / rows.len().max(1) as f64;
        let observed = mean(&differences.iter().map(|rows| mean(rows)).collect::<Vec<_>>());
        let drawn = resampled_means(differences, rng);
        let outside = ((1.0 - CONFIDENCE) / 2.0 * RESAMPLES as f64) as usize;
        Self { mean: observed, lower: drawn[outside], upper: drawn[RESAMPLES - 1 - outside] }
    }
}

/// The means of all resamples, ascending.
fn resampled_means<R: Rng + ?Sized>(differences: &[Vec<f64>], rng: &mut R) -> Vec<f64> {
    let (seeds, texts) = (differences.len(), differences.iter().map(Vec::len).min().unwrap_or_default());
    let mut drawn: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let mut weights = vec![0.0; seeds];
            (0..seeds).for_each(|_| weights[rng.random_range(0..seeds)] += 1.0 / seeds as f64);
            let sum: f64 = (0..texts)
                .map(|_| {
                    let text = rng.random_range(0..texts);
                    weights.iter().zip(differences).map(|(weight, rows)| weight * rows[text]).sum::<f64>()
                })
                .sum();
            sum / texts.max(1) as f64
        })
        .collect();
    drawn.sort_unstable_by(f64::total_cmp);
    drawn
}
