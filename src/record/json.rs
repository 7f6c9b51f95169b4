//! Records as JSON files: written atomically and without numbers that JSON cannot represent.

use std::path::Path;

use dht_transformer::storage::write_atomically;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::error::{Error, RecordProblem, Result};

/// Writes a record atomically.
///
/// # Errors
/// [`Error::Record`] when a number is not finite, [`Error::Transformer`] when the file cannot be written.
pub(crate) fn save(record: &impl Serialize, path: &Path) -> Result<()> {
    let refused = |problem| Error::Record { path: path.into(), problem };
    let content = |error: serde_json::Error| refused(RecordProblem::Content { message: error.to_string() });
    // Only floats that are not finite are serialised as null.
    if let Some(field) = first_null(&serde_json::to_value(record).map_err(content)?) {
        return Err(refused(RecordProblem::NotFinite { field }));
    }
    let json = serde_json::to_string_pretty(record).map_err(content)?;
    write_atomically(path, |file| writeln!(file, "{json}"))?;
    Ok(())
}

/// Reads a record of a version of its layout.
///
/// # Errors
/// [`Error::Transformer`] when the file cannot be read, [`Error::Record`] when it is no record or of another version.
pub(crate) fn load<T: DeserializeOwned>(path: &Path, expected: u32) -> Result<T> {
    let io = |source| Error::Transformer(dht_transformer::Error::Io { path: path.into(), source });
    let refused = |problem| Error::Record { path: path.into(), problem };
    let content = |error: serde_json::Error| refused(RecordProblem::Content { message: error.to_string() });
    let bytes = std::fs::read(path).map_err(io)?;
    // Another layout may lack fields of this one, so the version is checked first.
    let Version { schema: found } = serde_json::from_slice(&bytes).map_err(content)?;
    if found != u64::from(expected) {
        return Err(refused(RecordProblem::OtherVersion { found, expected }));
    }
    serde_json::from_slice(&bytes).map_err(content)
}

#[derive(Deserialize)]
struct Version {
    schema: u64,
}

/// The path of the first null outside of the settings, if there is one.
fn first_null(record: &Value) -> Option<String> {
    fn search(value: &Value, path: &mut Vec<String>) -> bool {
        let mut enter = |key: String, value: &Value| {
            path.push(key);
            let found = search(value, path);
            if !found {
                path.pop();
            }
            found
        };
        match value {
            Value::Null => true,
            Value::Array(values) => values.iter().enumerate().any(|(index, value)| enter(index.to_string(), value)),
            Value::Object(fields) => fields.iter().any(|(key, value)| key != "settings" && enter(key.clone(), value)),
            _ => false,
        }
    }
    let mut path = Vec::new();
    search(record, &mut path).then(|| path.join("."))
}
