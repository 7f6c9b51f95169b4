//! Records of finished partitions.

use serde::{Deserialize, Serialize};

/// Identity of an input's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Size.
    pub bytes: u64,
    /// Value that changes with the content: the time of the last change and the inode of a file, the ETag of an object.
    pub version: String,
}

/// Record of a finished partition.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// SHA-256 of the model and the settings that answered.
    #[serde(default)]
    pub run: String,
    /// Input that was answered.
    pub input: Facts,
    /// SHA-256 of the input.
    pub sha256: String,
    /// Size of the output.
    pub output_bytes: u64,
    /// Totals of its texts.
    pub totals: Totals,
    /// Host and process that wrote the output.
    pub worker: String,
}

/// Totals of answered texts. Totals of several partitions or workers add up.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Number of rows.
    pub rows: u64,
    /// Number of texts that were cut.
    pub cut: u64,
    /// Number of rows without a text.
    pub without_text: u64,
    /// Line of the first row without a text.
    #[serde(skip)]
    pub first_without: u64,
    /// Number of rows without an answer of the asked probability.
    #[serde(default)]
    pub abstained: u64,
    /// Number of rows without an answer, with `--on-error skip` or `report`.
    #[serde(default)]
    pub failed: u64,
    /// Line of the first such row.
    #[serde(skip)]
    pub first_failed: u64,
    /// FLOPs of the routes.
    pub flops: u128,
    /// FLOPs of the full model for the same texts.
    pub full_flops: u128,
    /// Time of the worker.
    pub seconds: f64,
}

impl Totals {
    /// Adds the totals of other texts.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.cut += other.cut;
        self.without_text += other.without_text;
        self.abstained += other.abstained;
        self.failed += other.failed;
        self.flops += other.flops;
        self.full_flops += other.full_flops;
        self.seconds += other.seconds;
    }
}
