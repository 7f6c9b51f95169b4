//! Results of distillation: a teacher and its student, with and without distillation.

use serde::{Deserialize, Serialize};

use super::data::ModelRecord;
use super::record::{Record, Results};

/// Results of the example `distil`, in `record.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distillation {
    /// Metric of the scores: `accuracy`, `Matthews correlation`, …
    pub metric: String,
    /// Highest score of a model that predicts the same class for all test rows. For accuracy it is the share of the
    /// most frequent class.
    pub majority_score: f64,
    /// Fine-tuned teacher.
    pub teacher: JudgedModel,
    /// Student that was fine-tuned on the labels, for as many passes as both stages of distillation have.
    pub fine_tuned_student: JudgedModel,
    /// Student after both stages of the distillation.
    pub distilled_student: JudgedModel,
}

impl Results for Distillation {}

/// Result file of a distillation.
pub type DistillationRecord = Record<Distillation>;

/// Test scores and costs of a trained model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct JudgedModel {
    /// Size of the model.
    pub size: ModelRecord,
    /// Score by the task's metric.
    pub score: f64,
    /// Standard deviation of the score over seeds.
    pub score_sd: f64,
    /// Share of correct answers.
    pub accuracy: f64,
    /// Mean F1 of the classes.
    pub macro_f1: f64,
    /// Exact FLOPs of predicting all test rows.
    pub flops: u64,
    /// Prediction time divided by that of the largest model in the table. The models run in turns; the times are
    /// medians.
    pub wall_ratio: f64,
    /// Seconds of training the model; 0 for a model that was already trained.
    pub train_seconds: f64,
}

impl DistillationRecord {
    /// Models with their names, in the order of the table.
    pub fn models(&self) -> [(&'static str, &JudgedModel); 3] {
        [
            ("teacher", &self.teacher),
            ("student, fine-tuned", &self.fine_tuned_student),
            ("student, distilled", &self.distilled_student),
        ]
    }
}
