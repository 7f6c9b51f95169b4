//! Outputs and claims of all kinds of storage.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::record::Record;
use crate::error::Result;

/// Folder of the workers' own files in an output.
pub(super) const OWN: &str = ".dht";
/// File of the description of a run, and its format.
pub(super) const DESCRIPTION: &str = "predictions.json";
pub(super) const FORMAT: &str = "dht predictions";
pub(super) const RECORD: &str = "record.json";
pub(super) const CLAIM: &str = "claim";

/// Writes the answers of a partition, and returns their record.
pub type Answering<'a> = &'a mut dyn FnMut(&mut dyn Write) -> Result<Record>;

/// Output of all partitions: a folder, or a prefix in an object store.
pub trait Outputs {
    /// Path of an output, for messages.
    fn path(&self, name: &str) -> PathBuf;

    /// Stores the description of this run, unless there is one. Returns the stored description.
    fn describe(&self, run: &Map<String, Value>) -> Result<Map<String, Value>>;

    /// Record of an output.
    fn record(&self, name: &str) -> Result<Option<Record>>;

    /// Size of an output in bytes, if it exists.
    fn size(&self, name: &str) -> Result<Option<u64>>;

    /// Claims a partition. `None` while another worker has it.
    fn claim(&self, name: &str) -> Result<Option<Box<dyn Claim>>>;

    /// Writes an output and its record: the output appears whole, after its record.
    fn write(&self, name: &str, answer: Answering<'_>) -> Result<Record>;
}

/// Claim of a partition. Dropping it releases the partition.
pub trait Claim {
    /// Returns whether no other worker has taken over the claim.
    fn is_held(&self) -> bool;

    /// Releases the claim of a finished partition.
    fn finish(self: Box<Self>);
}

/// URL of an object store.
pub fn url(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| text.starts_with("s3://"))
}

/// Name of this process in claims and records.
pub fn worker() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::env::var("HOSTNAME"));
    format!("{}:{}", host.as_deref().unwrap_or("host").trim(), std::process::id())
}
