//! Searches for architectures during distillation, and what they are compared with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::at_costs::Interval;
use super::distillation::JudgedModel;
use super::record::{Record, Results};

/// A share of the teacher's margin that the unpruned student has to keep, so that what is lost after it says something.
const INFORMATIVE: f64 = 0.8;
/// The name of the one metric that is 0 for one who knows nothing.
pub(crate) const MATTHEWS: &str = "Matthews correlation";
/// That of the one whose constant answers are not about as good as each other.
pub(crate) const F1: &str = "F1";
/// The .975 quantile of the normal distribution.
const NORMAL: f64 = 1.96;

/// A run of the example `nas`, written as `record.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArchitectureSearches {
    /// What scores are: `accuracy`, `Matthews correlation`, …
    pub metric: String,
    /// The most that one class, given to every test row, scores: of accuracy the share of the most frequent one.
    pub majority_score: f64,
    /// The fine-tuned teacher.
    pub teacher: JudgedModel,
    /// The student, distilled without a search; scores are means over the seeds.
    pub unpruned: JudgedModel,
    /// The architectures that were searched for.
    pub searches: Vec<SearchedArchitecture>,
    /// Architectures of the same size that were not.
    pub beside: Vec<SearchedArchitecture>,
}

impl Results for ArchitectureSearches {}

/// A record of it.
pub type ArchitectureSearchRecord = Record<ArchitectureSearches>;

/// A smaller architecture of the student, after its distillation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchedArchitecture {
    /// What was searched: `inputs`, `inputs+heads`, `all`.
    pub space: String,
    /// `search`, or how units were chosen without one.
    pub method: String,
    /// The share of the space that was wanted, by the run's measure.
    pub target_ratio: f64,
    /// The share that there is.
    pub reached_ratio: f64,
    /// On the test rows; the mean over seeds, or draws.
    pub score: f64,
    /// Over seeds, or draws.
    pub score_sd: f64,
    /// Likewise.
    pub accuracy: f64,
    /// Likewise.
    pub macro_f1: f64,
    /// The score of the unpruned student, distilled with the same seeds.
    pub unpruned_score: f64,
    /// The seeds of the distillation, or the draws.
    pub seeds: Vec<u64>,
    /// The optimiser step of the second stage after which each was best on validation rows.
    pub best_steps: Vec<u64>,
    /// Validation score of each at that step: macro F1, or the task's metric where steps were evaluated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation_scores: Vec<f64>,
    /// FLOPs of the test rows over the unpruned student's; of the whole model, exact.
    pub flops_ratio: f64,
    /// Wall clock of predicting over the unpruned student's: medians of passes in turns.
    pub wall_ratio: f64,
    /// Parameters over the unpruned student's.
    pub parameters_ratio: f64,
    /// Wall clock of the search; 0 without one.
    pub search_seconds: f64,
    /// Wall clock of the distillation after it, of the first seed.
    pub train_seconds: f64,
    /// What stays of each layer; empty for draws.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<KeptUnits>,
    /// Of a row beside a search: the search's score less this one's, over trainings and test rows. Missing where one of them was trained
    /// once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Interval>,
    /// Its score less the unpruned student's, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Interval>,
}

/// What stays of a layer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KeptUnits {
    /// For each searched part the share of its units that the extracted model has; outputs are not in records that counted those of heads
    /// that are gone.
    pub shares: BTreeMap<String, f64>,
    /// The heads that stay, from 0; all of them where heads were not searched.
    pub heads: Vec<usize>,
}

impl ArchitectureSearchRecord {
    /// What target and reached ratios are shares of.
    pub fn measure(&self) -> &'static str {
        let cost = self.command.iter().position(|word| word == "--cost").and_then(|at| self.command.get(at + 1));
        match cost.map(String::as_str) {
            Some("flops") => "the student's FLOPs for a text of the maximum length",
            Some("latency") => "the student's seconds for texts of the maximum length, as fitted",
            Some("parameters") => "the parameters of the student's layers",
            _ => "the searched units",
        }
    }

    /// The change of a score against the unpruned student's, in points.
    pub fn change(&self, score: f64) -> f64 {
        100.0 * (score - self.unpruned.score)
    }

    /// The share of the unpruned student's margin over the best constant answer that a score keeps; `None` where there is no margin.
    pub fn margin_kept(&self, score: f64) -> Option<f64> {
        let margin = self.unpruned.score - self.majority_score;
        (margin > 0.0).then(|| (score - self.majority_score) / margin)
    }

    /// Why shares of the unpruned student's margin over the best constant answer say nothing; `None` where they say something: the teacher has a
    /// margin that chance does not give 97.5 % of the time, and the unpruned student keeps at least .8 of it.
    ///
    /// Of n test rows, the score m of one class for all of them varies by √(m (1 − m) / n); a Matthews correlation, the φ of a table of 2 × 2
    /// with χ² = n φ², by 1/√n around 0; and F1 = 2p/(1 + p), of a class that p of the rows have, by F1's derivative times p's √(p (1 − p) / n).
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
