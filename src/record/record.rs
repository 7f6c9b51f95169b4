//! Result file `record.json` of an example that measures.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::path::Path;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::data::DataRecord;
use super::json;
use super::machine::Machine;
use crate::error::{Error, RecordProblem, Result};

/// Results of one example: the part of its result file, [`Record`], that other examples lack.
pub trait Results: Serialize + DeserializeOwned {
    /// Version of the layout of `record.json` that this release reads and writes.
    const SCHEMA: u32 = 1;
}

/// Result file of a run: command, texts, results, settings and machine. The keys of the results are at the same level
/// as the other keys.
///
/// The order of the keys is fixed, and the file has no date and no path of the machine. Two runs with the same seed
/// therefore differ only in seconds and in numbers that are computed from them.
///
/// ```
/// use dht_lab::record::{Reproduction, ReproductionRecord, Results};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("record.json");
/// let command = vec!["reproduce".into()];
/// let record = ReproductionRecord { schema: Reproduction::SCHEMA, command, ..ReproductionRecord::default() };
/// record.save(&path)?;
/// assert_eq!(ReproductionRecord::load(&path)?.command, ["reproduce"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Record<T> {
    /// Version of the layout, [`Results::SCHEMA`]. Files of other versions are rejected, including earlier ones, since
    /// their measurements may differ.
    pub schema: u32,
    /// Name of the example and its flags, without directories that are specific to the machine.
    pub command: Vec<String>,
    /// Training, validation and test data.
    pub data: DataRecord,
    /// Results of the run.
    #[serde(flatten)]
    pub results: T,
    /// Settings by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, Value>,
    /// Machine on which the run was measured.
    pub machine: Machine,
}

/// Keys that the result files of all examples have. They are read separately from the results, since serde reads the
/// numeric keys of maps in flattened fields as text.
#[derive(Deserialize)]
struct Common {
    command: Vec<String>,
    data: DataRecord,
    #[serde(default)]
    settings: BTreeMap<String, Value>,
    machine: Machine,
}

#[derive(Deserialize)]
struct Version {
    schema: u64,
}

impl<T: Results> Record<T> {
    /// Creates a result file of this version.
    pub fn new(
        command: Vec<String>,
        data: DataRecord,
        results: T,
        settings: BTreeMap<String, Value>,
        machine: Machine,
    ) -> Self {
        Self { schema: T::SCHEMA, command, data, results, settings, machine }
    }

    /// Writes the result file atomically.
    ///
    /// # Errors
    /// [`Error::Record`] if a number is not finite; [`Error::Transformer`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        json::save(self, path.as_ref())
    }

    /// Reads a result file of this version.
    ///
    /// # Errors
    /// [`Error::Transformer`] if the file cannot be read; [`Error::Record`] if the file is not of this example or has
    /// another version.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let io = |source| Error::Transformer(dht_transformer::Error::Io { path: path.into(), source });
        let refused = |problem| Error::Record { path: path.into(), problem };
        let content = |error: serde_json::Error| refused(RecordProblem::Content { message: error.to_string() });
        let bytes = std::fs::read(path).map_err(io)?;
        // The version is checked first, since a record of another version may lack keys.
        let Version { schema: found } = serde_json::from_slice(&bytes).map_err(content)?;
        if found != u64::from(T::SCHEMA) {
            return Err(refused(RecordProblem::OtherVersion { found, expected: T::SCHEMA }));
        }
        let results = serde_json::from_slice(&bytes).map_err(content)?;
        let Common { command, data, settings, machine } = serde_json::from_slice(&bytes).map_err(content)?;
        Ok(Self::new(command, data, results, settings, machine))
    }
}

impl<T> Deref for Record<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.results
    }
}

impl<T> DerefMut for Record<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.results
    }
}

#[cfg(test)]
mod tests;
