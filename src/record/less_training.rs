//! Models that were fine-tuned with a part of the full model's FLOPs.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::at_costs::Interval;
use super::json;
use super::right::RightTexts;
use super::summary::Summary;
use crate::error::Result;

/// Ways to train with fewer FLOPs, written as `less_training.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LessTrainingRecord {
    /// The version of this layout: [`LessTrainingRecord::SCHEMA`].
    pub schema: u32,
    /// By data set.
    pub data: Vec<TrainedOn>,
}

/// All ways on one data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainedOn {
    /// Its name.
    pub data: String,
    /// Rows for training, for validation, and those that scores are of.
    pub rows: [usize; 3],
    /// Whether scores are of its test rows, and not of rows of the training file that nothing else has seen.
    pub test: bool,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The ways, each with every kind of answer.
    pub ways: Vec<TrainedWay>,
}

/// What one way came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainedWay {
    /// Rows, their share, passes, and what differs from the full model.
    pub way: String,
    /// The same in words.
    pub description: String,
    /// Whose answers: the model `alone`, `n-gram stacked` on it, the `n-gram cascade`, which runs it only where the n-gram model
    /// is unsure, or the model `accelerated` at a cost.
    pub answer: String,
    /// The full model with the passes that were best on validation rows: what all others are compared with.
    pub reference: bool,
    /// Of all with the n-gram model stacked on them that take at most .35 of the reference's FLOPs of training, the best on validation
    /// rows.
    pub cheap: bool,
    /// The judged texts that are answered right; records of earlier releases do not have them.
    #[serde(default, skip_serializing_if = "RightTexts::is_empty")]
    pub right: RightTexts,
    /// Over seeds.
    pub accuracy: Summary,
    /// Over seeds.
    pub macro_f1: Summary,
    /// Its accuracy less the reference's.
    pub to_reference: Interval,
    /// The one-sided upper 95 % bound of the reference's accuracy less its own.
    pub deficit_upper95: f64,
    /// The cheap model's accuracy less its own; none of the cheap model itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cheap_above: Option<Interval>,
    /// FLOPs of training over the reference's.
    pub train_flops_ratio: f64,
    /// Whether these have the convex fits of the n-gram model, exits and stacking; those of earlier releases do not.
    #[serde(default)]
    pub fits_counted: bool,
    /// Wall clock of training over the reference's, of the first seed; where the n-gram model has a part, with the seconds of its fits.
    pub train_wall_ratio: f64,
    /// FLOPs of the judged rows over those of the reference.
    pub inference_flops_ratio: f64,
}

impl Default for LessTrainingRecord {
    fn default() -> Self {
        Self { schema: Self::SCHEMA, data: Vec::new() }
    }
}

impl LessTrainingRecord {
    /// The version of the layout that this release reads and writes.
    pub const SCHEMA: u32 = 1;

    /// Adds the ways of a data set, in the place of earlier ones.
    pub fn add(&mut self, trained: TrainedOn) {
        match self.data.iter().position(|other| other.data == trained.data) {
            Some(at) => self.data[at] = trained,
            None => self.data.push(trained),
        }
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
