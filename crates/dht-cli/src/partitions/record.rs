//! Records of finished partitions (parts of a large input).

use serde::{Deserialize, Serialize};

/// Identity of an input's content: size and version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Size of the content in bytes.
    pub bytes: u64,
    /// Version, which changes with the content: modification time and inode of a file, or ETag of an object.
    pub version: String,
}

/// Record of a finished partition (part of a large input).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// SHA-256 of the description of the run: the model and the settings that affect answers.
    #[serde(default)]
    pub run: String,
    /// Identity of the partition's content.
    pub input: Facts,
    /// SHA-256 of the partition's content.
    pub sha256: String,
    /// Size of the output with the answers, in bytes.
    pub output_bytes: u64,
    /// Totals over the texts of the partition.
    pub totals: Totals,
    /// Host and process id of the worker that wrote the output.
    pub worker: String,
}

/// Totals over answered texts, which can be added over partitions.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Number of answered rows.
    pub rows: u64,
    /// Number of texts that were cut at the model's maximum length.
    pub cut: u64,
    /// Number of rows without a text.
    pub without_text: u64,
    /// Line number of the first row without a text.
    #[serde(skip)]
    pub first_without: u64,
    /// Number of rows without an answer because no answer had the minimum probability.
    #[serde(default)]
    pub abstained: u64,
    /// Number of rows without an answer because of an error, with `--on-error skip` or `report`.
    #[serde(default)]
    pub failed: u64,
    /// Line number of the first row with an error.
    #[serde(skip)]
    pub first_failed: u64,
    /// FLOPs that the answers took.
    pub flops: u128,
    /// FLOPs of the full model for the same texts.
    pub full_flops: u128,
    /// Seconds that the worker took.
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
