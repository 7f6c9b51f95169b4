//! A teacher and its student, with and without distillation.

use serde::{Deserialize, Serialize};

use super::data::ModelRecord;
use super::record::{Record, Results};

/// A run of the example `distil`, written as `record.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distillation {
    /// What scores are: `accuracy`, `Matthews correlation`, …
    pub metric: String,
    /// The most that one class, given to every test row, scores: of accuracy the share of the most frequent one.
    pub majority_score: f64,
    /// The fine-tuned teacher.
    pub teacher: JudgedModel,
    /// The student, fine-tuned on the labels in as many passes as both stages of the distillation have.
    pub fine_tuned_student: JudgedModel,
    /// The student after both stages.
    pub distilled_student: JudgedModel,
}

impl Results for Distillation {}

/// A record of it.
pub type DistillationRecord = Record<Distillation>;

/// A trained model on the test rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct JudgedModel {
    /// Its size.
    pub size: ModelRecord,
    /// By the task's metric.
    pub score: f64,
    /// Over seeds.
    pub score_sd: f64,
    /// The share of right answers.
    pub accuracy: f64,
    /// The mean F1 of the classes.
    pub macro_f1: f64,
    /// Exact, of all test rows.
    pub flops: u64,
    /// Wall clock of predicting over the largest model's of the table: medians of passes in turns.
    pub wall_ratio: f64,
    /// Wall clock of its training; 0 where it was given.
    pub train_seconds: f64,
}

impl DistillationRecord {
    /// The models with their names, in the order of the table.
    pub fn models(&self) -> [(&'static str, &JudgedModel); 3] {
        [
            ("teacher", &self.teacher),
            ("student, fine-tuned", &self.fine_tuned_student),
            ("student, distilled", &self.distilled_student),
        ]
    }
}
