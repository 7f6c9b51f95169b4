//! A classifier without one head, and with one head alone.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::file::{DataRecord, ModelRecord};
use super::json;
use super::machine::Machine;
use crate::error::Result;

/// A run of the example `heads`, written as `record.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadAblationRecord {
    /// The version of this layout: [`HeadAblationRecord::SCHEMA`].
    pub schema: u32,
    /// The example and its flags, without directories of the machine.
    pub command: Vec<String>,
    /// The texts; the test rows are scored.
    pub data: DataRecord,
    /// The score: `accuracy`, `Matthews correlation`, …
    pub metric: String,
    /// The classifier's size.
    pub model: ModelRecord,
    /// Its score with all heads.
    pub score: f64,
    /// The ablated heads.
    pub heads: Vec<HeadScores>,
    /// The machine of the run.
    pub machine: Machine,
}

/// Scores of an ablated head.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeadScores {
    /// Its layer, from 0.
    pub layer: usize,
    /// Its number in the layer, from 0.
    pub head: usize,
    /// The score without it; missing for the only head of a layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<f64>,
    /// The score with it alone in its layer.
    pub alone: f64,
}

impl HeadAblationRecord {
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
