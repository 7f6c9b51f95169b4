//! A model in service while the texts drift: thresholds that stay beside one that learns from late labels.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::at_costs::Interval;
use super::json;
use crate::error::Result;

/// A stream of texts that turns into another, written as `drift.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftRecord {
    /// The version of this layout: [`DriftRecord::SCHEMA`].
    pub schema: u32,
    /// The data sets before and after.
    pub data: [String; 2],
    /// Texts of each.
    pub texts: [usize; 2],
    /// So many texts later a text's label comes.
    pub late: usize,
    /// Texts that the scores of a stretch leave out at its beginning: until the labels of the first ones are there.
    pub left_out: [usize; 2],
    /// The cost that is wanted, as a share of the full model's FLOPs.
    pub cost: f64,
    /// The seeds of the models.
    pub seeds: Vec<u64>,
    /// Texts in a block of the curves.
    pub block: usize,
    /// The ways to decide.
    pub ways: Vec<DriftWay>,
    /// The learner beside the others.
    pub comparisons: Vec<DriftComparison>,
}

/// A way to decide where texts leave; means over seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftWay {
    /// Its name.
    pub name: String,
    /// Accuracy and FLOPs over the full model's before and after the drift.
    pub stretches: [[f64; 2]; 2],
    /// Accuracy of each block of the whole stream.
    pub accuracy: Vec<f64>,
    /// FLOPs over the full model's of each block.
    pub flops_ratio: Vec<f64>,
}

/// The accuracy of the learner less that of another way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftComparison {
    /// The other.
    pub other: String,
    /// Before and after the drift: mean and interval, by a paired bootstrap over texts and seeds.
    pub difference: [Interval; 2],
}

impl DriftRecord {
    /// The version of the layout that this release reads and writes.
    pub const SCHEMA: u32 = 1;

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
