//! Records of finished partitions.

use serde::{Deserialize, Serialize};

/// Identity of an input's content at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Size in bytes.
    pub bytes: u64,
    /// Version, which changes with the content: the modification time and inode of a file, or the ETag of an object.
    pub version: String,
}

/// Record of a finished partition.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// SHA-256 of the description of the run: the model and the settings that affect answers.
    #[serde(default)]
    pub run: String,
    /// Identity of the input that was answered.
    pub input: Facts,
    /// SHA-256 of the input's content.
    pub sha256: String,
    /// Size of the output in bytes.
    pub output_bytes: u64,
    /// Totals over the texts of the partition, such as numbers of rows and FLOPs.
    pub totals: Totals,
    /// Host and process that wrote the output.
    pub worker: String,
}

/// Totals over answered texts. The totals of several partitions or workers can be added.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Number of rows.
    pub rows: u64,
    /// Number of texts that were cut at the model's maximum length.
    pub cut: u64,
    /// Number of rows without a text.
    pub without_text: u64,
    /// Line of the first row without a text.
    #[serde(skip)]
    pub first_without: u64,
    /// Number of rows on which the model abstained, since no answer had the minimum probability.
    #[serde(default)]
    pub abstained: u64,
    /// Number of rows without an answer, with `--on-error skip` or `report`.
    #[serde(default)]
    pub failed: u64,
    /// Line of the first row without an answer.
    #[serde(skip)]
    pub first_failed: u64,
    /// FLOPs of the routes that the texts took.
    pub flops: u128,
    /// FLOPs of the full model for the same texts.
    pub full_flops: u128,
    /// Time that the worker took, in seconds.
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
