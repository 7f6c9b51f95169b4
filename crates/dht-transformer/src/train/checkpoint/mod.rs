//! One file that holds a training as it stands: named tensors and a state of any shape.
//!
//! ```text
//! 8 bytes   length of the header (little endian)
//! header    {"__metadata__":{"format":"dht-checkpoint","version":"1","sha256":"…"},"name":{…},…}
//! data      the tensors in f32, then the state as JSON text
//! ```
//!
//! This is a safetensors file that any reader of that format opens; the state is the byte tensor `state.json`. The sum
//! is over the whole file with 64 zeros in the place of the sum itself, so that no bit of the file is unguarded.

mod read;
mod write;

use crate::error::{Error, Result};
use crate::storage::StoredTensors;

/// The version this release writes, and the latest it reads.
const VERSION: u64 = 1;
/// What every checkpoint starts with after the length of its header.
const PREFIX: &str = r#"{"__metadata__":{"format":"dht-checkpoint","version":""#;
/// What stands between the version and the sum.
const BEFORE_SUM: &str = r#"","sha256":""#;
/// How many hexadecimal digits a SHA-256 sum has.
const SUM_DIGITS: usize = 64;
/// The tensor that holds the state as JSON text.
const STATE: &str = "state.json";
/// The key of safetensors for what is no tensor.
const METADATA: &str = "__metadata__";
/// How many numbers are converted to or from bytes at once.
const BLOCK: usize = 16_384;

/// Everything a training needs to go on where it stopped.
///
/// Numbers come back bit for bit: tensors are f32, and finite f64 in the state are written with as many digits as they
/// need (JSON has no NaN and no infinity: serde_json turns them into `null`).
///
/// # Examples
/// ```
/// use dht_transformer::{storage::StoredTensor, train::checkpoint::Checkpoint};
///
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("last.checkpoint");
/// let mut checkpoint = Checkpoint { state: serde_json::json!({ "step": 7 }), ..Checkpoint::default() };
/// checkpoint.tensors.insert("weight".into(), StoredTensor { shape: vec![2], values: vec![0.5, -1.0] });
/// checkpoint.save(&path)?;
/// assert_eq!(Checkpoint::load(&path)?, checkpoint);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checkpoint {
    /// Parameters, moments of the optimiser, whatever is many numbers.
    pub tensors: StoredTensors,
    /// Counters, seeds, settings, whatever is not.
    pub state: serde_json::Value,
}

impl Checkpoint {
    /// Adds tensors under `prefix` + their names.
    ///
    /// # Errors
    /// [`Error::Parameter`] when a name is taken; nothing is added then.
    pub fn put(&mut self, prefix: &str, tensors: StoredTensors) -> Result<()> {
        let tensors: StoredTensors =
            tensors.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect();
        if let Some(name) = tensors.keys().find(|name| self.tensors.contains_key(*name)) {
            return Err(Error::Parameter { name: name.clone(), problem: "is in the checkpoint already" });
        }
        self.tensors.extend(tensors);
        Ok(())
    }

    /// Takes out the tensors whose names start with `prefix`, without it.
    pub fn take(&mut self, prefix: &str) -> StoredTensors {
        let (taken, left) =
            std::mem::take(&mut self.tensors).into_iter().partition(|(name, _)| name.starts_with(prefix));
        self.tensors = left;
        let taken: StoredTensors = taken;
        taken.into_iter().map(|(name, tensor)| (name[prefix.len()..].to_owned(), tensor)).collect()
    }
}

#[cfg(test)]
mod killed_tests;
#[cfg(test)]
mod tests;
