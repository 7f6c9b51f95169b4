//! Outputs of partitions and claims on them, independent of the storage.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::record::Record;
use crate::error::Result;

/// Name of the subfolder of an output in which workers keep locks, records and temporary files.
pub(super) const OWN: &str = ".dht";
/// Name of the file with the description of a run: the model and the settings that affect answers.
pub(super) const DESCRIPTION: &str = "predictions.json";
/// Value of the key `format` in the description of a run. It shows that this program wrote the file.
pub(super) const FORMAT: &str = "dht predictions";
pub(super) const RECORD: &str = "record.json";
pub(super) const CLAIM: &str = "claim";

/// Function that writes the answers to a partition and returns the record of their totals.
pub type Answering<'a> = &'a mut dyn FnMut(&mut dyn Write) -> Result<Record>;

/// Storage of the outputs of all partitions: a folder, or a key prefix in an object store.
pub trait Outputs {
    /// Path of a partition's output, for messages. `name` is the partition's name.
    fn path(&self, name: &str) -> PathBuf;

    /// Stores the description of the run if there is none, and returns the stored one. A description has the model and
    /// the settings that affect answers.
    fn describe(&self, run: &Map<String, Value>) -> Result<Map<String, Value>>;

    /// Reads the record of a finished partition; `None` if there is none.
    fn record(&self, name: &str) -> Result<Option<Record>>;

    /// Size of a partition's output in bytes; `None` if the output does not exist.
    fn size(&self, name: &str) -> Result<Option<u64>>;

    /// Claims a partition, which keeps other workers from answering it. Returns `None` while another worker holds the
    /// claim.
    fn claim(&self, name: &str) -> Result<Option<Box<dyn Claim>>>;

    /// Writes the answers to a partition and its record. The output appears only when it is complete, after the record.
    fn write(&self, name: &str, answer: Answering<'_>) -> Result<Record>;
}

/// Claim on a partition, which keeps other workers from answering it. Dropping it releases the partition.
pub trait Claim {
    /// Returns whether this worker still holds the claim.
    fn is_held(&self) -> bool;

    /// Releases the claim after the partition is answered.
    fn finish(self: Box<Self>);
}

/// Returns the path as a URL if it is in an object store; `None` for a local path.
pub fn url(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| text.starts_with("s3://"))
}

/// Name of this process in claims and records: host and process id.
pub fn worker() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::env::var("HOSTNAME"));
    format!("{}:{}", host.as_deref().unwrap_or("host").trim(), std::process::id())
}
