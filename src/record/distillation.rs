//! A teacher and its student, with and without distillation.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::file::{DataRecord, ModelRecord};
use super::json;
use super::machine::Machine;
use crate::error::Result;

/// A run of the example `distil`, written as `record.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DistillationRecord {
    /// The version of this layout: [`DistillationRecord::SCHEMA`].
    pub schema: u32,
    /// The example and its flags, without directories of the machine.
    pub command: Vec<String>,
    /// The texts.
    pub data: DataRecord,
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
    /// Settings by name.
    pub settings: BTreeMap<String, Value>,
    /// The machine of the run.
    pub machine: Machine,
}

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
    /// The version of the layout that this release reads and writes.
    pub const SCHEMA: u32 = 1;

    /// The models with their names, in the order of the table.
    pub fn models(&self) -> [(&'static str, &JudgedModel); 3] {
        [
            ("teacher", &self.teacher),
            ("student, fine-tuned", &self.fine_tuned_student),
            ("student, distilled", &self.distilled_student),
        ]
    }

    /// Writes the record atomically.
    ///
    /// # Errors
    /// [`Error::Record`](crate::Error::Record) when a number is not finite,
    /// [`Error::Transformer`](crate::Error::Transformer) when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        json::save(self, path.as_ref())
    }

    /// Reads a record of this version.
    ///
    /// # Errors
    /// [`Error::Transformer`](crate::Error::Transformer) when the file cannot be read,
    /// [`Error::Record`](crate::Error::Record) when it is no such record or of another version.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        json::load(path.as_ref(), Self::SCHEMA)
    }
}
