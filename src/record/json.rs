//! Result files in JSON, written atomically and without numbers that JSON cannot represent.

use std::path::Path;

use dht_transformer::storage::write_atomically;
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, RecordProblem, Result};

/// Writes results atomically as JSON.
///
/// # Errors
/// [`Error::Record`] if a number is not finite; [`Error::Transformer`] if the file cannot be written.
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

/// Keys that lead to the first null value outside the settings, as one path; `None` without such a value.
fn first_null(record: &Value) -> Option<String> {
    fn search(value: &Value, path: &mut Vec<String>) -> bool {
        let mut enter = |key: String, value: &Value| {
            path.push(key);
            let has_null = search(value, path);
            if !has_null {
                path.pop();
            }
            has_null
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
