//! Partitions of a large input, answered by any number of workers: inputs, outputs, claims and records.
//!
//! ```text
//! OUT/part-0.jsonl                    answers of part-0.jsonl, whole or absent
//! OUT/.dht/predictions.json           model and settings that all workers share
//! OUT/.dht/part-0.jsonl/record.json   input, totals and worker of these answers
//! OUT/.dht/part-0.jsonl/claim         exists while a worker answers the partition, or after it was killed
//! ```
//!
//! The correctness of an answer file does not rely on claims: each worker writes a temporary file and renames it, and
//! the answers of two workers are equal. A claim only saves the work of a second worker.

#[cfg_attr(not(feature = "s3"), path = "without_s3.rs")]
mod bucket;
mod folder;
mod input;
mod record;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::error::Result;
pub use bucket::download;
pub use folder::{Folder, write_file};
pub use input::{Hashing, Input, inputs};
pub use record::{Record, Totals};

/// Folder of the workers' own files in an output.
const OWN: &str = ".dht";
/// File of the description of a run, and its format.
const DESCRIPTION: &str = "predictions.json";
const FORMAT: &str = "dht predictions";
const RECORD: &str = "record.json";
const CLAIM: &str = "claim";

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

/// Opens the output at a path or an `s3://` URL. In an object store, a claim that was not renewed for `claim` is taken
/// over.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io); [`Error::StoreNotBuilt`](crate::Error::StoreNotBuilt).
pub fn outputs(path: &Path, claim: Duration) -> Result<Box<dyn Outputs>> {
    match url(path) {
        Some(url) => bucket::outputs(url, claim),
        None => Ok(Box::new(Folder::open(path)?)),
    }
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
