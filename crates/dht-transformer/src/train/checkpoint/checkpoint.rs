//! Content of checkpoint files.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::storage::StoredTensor;

/// Content of a checkpoint: tensors and a state, from which a training run can be resumed.
///
/// Numbers are restored bit for bit. Tensors are in f32. Finite f64 values in the state are written with the necessary
/// number of digits. (JSON has no NaN and no infinity; serde_json writes them as `null`.)
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
    /// Parameters and optimiser moments, by name.
    pub tensors: BTreeMap<String, StoredTensor>,
    /// State other than tensors: counters, seeds and settings.
    pub state: serde_json::Value,
}

impl Checkpoint {
    /// Adds tensors. Each is named `prefix` followed by its own name.
    ///
    /// # Errors
    /// [`Error::Parameter`] if a name already exists. In this case nothing is added.
    pub fn put(&mut self, prefix: &str, tensors: BTreeMap<String, StoredTensor>) -> Result<()> {
        let tensors: BTreeMap<String, StoredTensor> =
            tensors.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect();
        if let Some(name) = tensors.keys().find(|name| self.tensors.contains_key(*name)) {
            return Err(Error::Parameter { name: name.clone(), problem: "is in the checkpoint already" });
        }
        self.tensors.extend(tensors);
        Ok(())
    }

    /// Removes and returns the tensors whose names start with `prefix`. The returned names do not have the prefix.
    pub fn take(&mut self, prefix: &str) -> BTreeMap<String, StoredTensor> {
        let (taken, left) =
            std::mem::take(&mut self.tensors).into_iter().partition(|(name, _)| name.starts_with(prefix));
        self.tensors = left;
        let taken: BTreeMap<String, StoredTensor> = taken;
        taken.into_iter().map(|(name, tensor)| (name[prefix.len()..].to_owned(), tensor)).collect()
    }
}
