//! Results of architecture searches during distillation, and of their baselines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::at_costs::Interval;
use super::distillation::JudgedModel;
use super::record::{Record, Results};

/// Minimum share of the teacher's margin over the best constant answer that the unpruned student must preserve. Below
/// it, further losses by pruning are not meaningful.
const INFORMATIVE: f64 = 0.8;
/// Name of the Matthews correlation. It is the only metric with score 0 for an uninformed model.
pub(crate) const MATTHEWS: &str = "Matthews correlation";
/// Name of the F1 metric. It is the only metric for which the scores of constant answers differ widely.
pub(crate) const F1: &str = "F1";
/// Quantile .975 of the normal distribution.
const NORMAL: f64 = 1.96;

/// Results of the example `nas` (architecture searches), in `record.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArchitectureSearches {
    /// Metric of the scores: `accuracy`, `Matthews correlation`, …
    pub metric: String,
    /// Highest score of a model that predicts the same class for all test rows. For accuracy it is the share of the
    /// most frequent class.
    pub majority_score: f64,
    /// Fine-tuned teacher.
    pub teacher: JudgedModel,
    /// Unpruned student, distilled without a search, with scores averaged over seeds.
    pub unpruned: JudgedModel,
    /// Searched architectures.
    pub searches: Vec<SearchedArchitecture>,
    /// Baselines: architectures of the same size that were not searched.
    pub beside: Vec<SearchedArchitecture>,
}

impl Results for ArchitectureSearches {}

/// Result file of architecture searches.
pub type ArchitectureSearchRecord = Record<ArchitectureSearches>;

/// Smaller architecture of the student, with its results after distillation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchedArchitecture {
    /// Searched parts of the student: `inputs`, `inputs+heads`, `all`.
    pub space: String,
    /// Method that selected the remaining units: `search`, or the name of a baseline.
    pub method: String,
    /// Target cost as a share of the unpruned student's, by the run's cost measure.
    pub target_ratio: f64,
    /// Cost of the architecture as a share of the unpruned student's, by the run's cost measure.
    pub reached_ratio: f64,
    /// Test score by the task's metric, averaged over seeds or random architectures.
    pub score: f64,
    /// Standard deviation of the score over seeds or random architectures.
    pub score_sd: f64,
    /// Test accuracy, averaged over seeds or random architectures.
    pub accuracy: f64,
    /// Macro F1 on the test rows, averaged over seeds or random architectures.
    pub macro_f1: f64,
    /// Score of the unpruned student, distilled with the same seeds.
    pub unpruned_score: f64,
    /// Seeds of the distillation or, for random architectures, of their selection.
    pub seeds: Vec<u64>,
    /// Optimiser step of the second stage of distillation at which each student had the best validation score.
    pub best_steps: Vec<u64>,
    /// Best validation score of each student: macro F1, or the task's metric if evaluations were at intervals of
    /// optimiser steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation_scores: Vec<f64>,
    /// Exact FLOPs of the whole model for the test rows, divided by the unpruned student's.
    pub flops_ratio: f64,
    /// Prediction time divided by the unpruned student's. The models run in turns; the times are medians of several
    /// passes.
    pub wall_ratio: f64,
    /// Number of parameters divided by the unpruned student's.
    pub parameters_ratio: f64,
    /// Seconds that the search took; 0 without a search.
    pub search_seconds: f64,
    /// Seconds that the distillation after the search took with the first seed.
    pub train_seconds: f64,
    /// Units that remain in each layer; empty for random architectures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<KeptUnits>,
    /// Score of the search minus the score of this baseline, with the variance over training runs and test rows.
    /// Missing for rows that are no baseline, and if one of the two was trained only once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Interval>,
    /// Score of this architecture minus the unpruned student's, with the variance over training runs and test rows.
    /// Missing if one of the two was trained only once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Interval>,
}

/// Units that remain in a layer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KeptUnits {
    /// Share of units that remain, for each searched part of the layer. Outputs are missing in results of earlier
    /// releases, which counted the outputs of removed heads.
    pub shares: BTreeMap<String, f64>,
    /// Indices of the heads that remain, counted from 0; all heads if heads were not searched.
    pub heads: Vec<usize>,
}

impl ArchitectureSearchRecord {
    /// Name of the cost measure in which target and reached ratio are given.
    pub fn measure(&self) -> &'static str {
        let cost = self.command.iter().position(|word| word == "--cost").and_then(|at| self.command.get(at + 1));
        match cost.map(String::as_str) {
            Some("flops") => "the student's FLOPs for a text of the maximum length",
            Some("latency") => "the student's seconds for texts of the maximum length, as fitted",
            Some("parameters") => "the parameters of the student's layers",
            _ => "the searched units",
        }
    }

    /// Change of a score against the unpruned student's, in points.
    pub fn change(&self, score: f64) -> f64 {
        100.0 * (score - self.unpruned.score)
    }

    /// Margin of a score over the best constant answer, as a share of the unpruned student's margin; `None` if that
    /// margin is not positive.
    pub fn margin_kept(&self, score: f64) -> Option<f64> {
        let margin = self.unpruned.score - self.majority_score;
        (margin > 0.0).then(|| (score - self.majority_score) / margin)
    }

    /// Reason why the unpruned student's margin over the best constant answer is too small for comparing how much of it
    /// an architecture preserves.
    ///
    /// `None` if the margin is large enough: the teacher's margin exceeds the 97.5 % quantile of chance, and the
    /// unpruned student preserves at least .8 of the teacher's margin.
    ///
    /// The variation by chance over n test rows depends on the metric. The score m of one class for all rows varies by
    /// √(m (1 − m) / n). A Matthews correlation, the φ of a 2 × 2 table with χ² = n φ², varies by 1/√n around 0. F1 =
    /// 2p/(1 + p), for a class that a share p of the rows has, varies by F1's derivative times p's √(p (1 − p) / n).
    pub fn uninformative(&self) -> Option<String> {
        let of = |model: &JudgedModel| model.score - self.majority_score;
        let deviation = |share: f64| (share * (1.0 - share)).max(0.0).sqrt();
        let constant = self.majority_score;
        let chance = match self.metric.as_str() {
            MATTHEWS => 1.0,
            F1 => (2.0 - constant).powi(2) / 2.0 * deviation(constant / (2.0 - constant)),
            _ => deviation(constant),
        };
        if of(&self.teacher) <= NORMAL * chance / (self.data.test_rows.max(1) as f64).sqrt() {
            Some("the teacher's margin over the best constant answer is within what chance gives".into())
        } else if of(&self.unpruned) < INFORMATIVE * of(&self.teacher) {
            Some(format!(
                "the unpruned student keeps less than {INFORMATIVE} of the teacher's margin over the best constant answer"
            ))
        } else {
            None
        }
    }
}
