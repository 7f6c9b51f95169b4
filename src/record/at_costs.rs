//! Scores at fixed inference costs, for this project's model and every kind of competitor.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::right::RightTexts;
use super::summary::Summary;

/// Test scores of each kind of model at fixed inference costs. Thresholds, and the model of each kind, are selected on
/// validation rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AtCosts {
    /// Inference costs: FLOPs divided by the full model's.
    pub costs: Vec<f64>,
    /// Scores of each kind of model.
    pub rows: Vec<KindAtCosts>,
    /// Comparisons of this project's model with others.
    pub comparisons: Vec<Comparison>,
}

/// Number and type of the encoders that a kind of model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoders {
    /// No encoder.
    None,
    /// One encoder: all layers, or only the first ones.
    One,
    /// Two encoders in sequence.
    Two,
    /// Accelerated model of this project: one encoder.
    Accelerated,
}

/// Scores of one kind of model at each cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KindAtCosts {
    /// Name of the kind of model.
    pub kind: String,
    /// Encoders that this kind of model runs.
    pub encoders: Encoders,
    /// Seeds whose training runs finished.
    pub seeds: Vec<u64>,
    /// Scores at each cost, in ascending order. Costs that no model of the kind can reach are missing.
    pub cells: Vec<CellAtCost>,
}

/// Scores of one kind of model at one cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellAtCost {
    /// Inference cost that the model must not exceed on validation rows: FLOPs divided by the full model's.
    pub cost: f64,
    /// Setting of the model with the highest accuracy on validation rows.
    pub setting: String,
    /// Accuracy on the test rows.
    pub accuracy: Summary,
    /// Macro F1 on the test rows.
    pub macro_f1: Summary,
    /// FLOPs for the test rows, divided by the full model's.
    pub flops_ratio: f64,
    /// Correctness of each test prediction; missing in results of earlier releases.
    #[serde(default, skip_serializing_if = "RightTexts::is_empty")]
    pub right: RightTexts,
}

/// Accuracy of this project's model minus that of the best model of a group of competitors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name of the group of competitors.
    pub against: String,
    /// Differences in ascending order of cost. A cost is missing if one of the models cannot reach it.
    pub differences: Vec<Difference>,
    /// Mean difference over the costs from .1 to .35 that both models can reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<Interval>,
}

impl Comparison {
    /// Range of the costs over which mean differences are computed.
    pub(crate) const MEAN_OF: std::ops::RangeInclusive<f64> = 0.1..=0.35;

    /// Mean difference from the competitors with the highest accuracy on the test rows, over the same costs as `mean`.
    /// This selection favours the competitors. `None` if `mean` already compares with the same competitors.
    pub fn mean_against_best_on_test(&self) -> Option<f64> {
        let within: Vec<&Difference> =
            self.differences.iter().filter(|own| Self::MEAN_OF.contains(&own.cost)).collect();
        let others = within.iter().any(|own| own.best_on_test != own.interval.mean);
        others.then(|| within.iter().map(|own| own.best_on_test).sum::<f64>() / within.len() as f64)
    }
}

/// Accuracy difference between two models at one cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Inference cost that both models must not exceed: FLOPs divided by the full model's.
    pub cost: f64,
    /// Name of the competitor, which has the highest accuracy on validation rows.
    pub rival: String,
    /// Test accuracy of this project's model minus the competitor's.
    pub interval: Interval,
    /// Test accuracy of this project's model minus that of the competitor with the highest test accuracy. This
    /// selection favours the competitor.
    pub best_on_test: f64,
    /// Cost at which both models are compared: the competitor's FLOPs on the test rows divided by the full model's.
    /// Missing if the comparison is at this project's own cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flops_ratio: Option<f64>,
}

/// Mean with its two-sided 95 % interval: paired bootstrap over test texts, and over seeds if there are several.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Mean of the differences.
    pub mean: f64,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end of the interval.
    pub upper: f64,
}

/// Number of bootstrap resamples for an interval.
const RESAMPLES: usize = 2_000;
/// Confidence level of an interval.
const CONFIDENCE: f64 = 0.95;

impl Interval {
    /// Mean of paired differences by seed and text, with its bootstrap interval. A resample draws seeds with
    /// replacement, and one sample of texts with replacement for all seeds (paired bootstrap: Efron and Tibshirani
    /// 1993, percentile interval).
    pub(crate) fn of_paired<R: Rng + ?Sized>(differences: &[Vec<f64>], rng: &mut R) -> Self {
        let mean = |rows: &[f64]| rows.iter().sum::<f64>() / rows.len().max(1) as f64;
        let observed = mean(&differences.iter().map(|rows| mean(rows)).collect::<Vec<_>>());
        let drawn = resampled_means(differences, rng);
        let outside = ((1.0 - CONFIDENCE) / 2.0 * RESAMPLES as f64) as usize;
        Self { mean: observed, lower: drawn[outside], upper: drawn[RESAMPLES - 1 - outside] }
    }
}

/// Means of all bootstrap resamples, ascending.
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
