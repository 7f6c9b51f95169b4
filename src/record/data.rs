//! Description of the texts and the model of a run, for its result file.

use dht_transformer::data::Reading;
use serde::{Deserialize, Serialize};

const CLASSES_IN_SUMMARY: usize = 20;

/// Data of a run.
///
/// ```
/// use dht_lab::record::DataRecord;
///
/// let data = DataRecord { name: "reviews".into(), train_rows: 80, test_rows: 20, ..DataRecord::default() };
/// assert!(data.summary().contains("80"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRecord {
    /// Name of the data set.
    pub name: String,
    /// Number of training rows, without validation rows.
    pub train_rows: usize,
    /// Number of validation rows, taken from the training file.
    #[serde(default)]
    pub validation_rows: usize,
    /// Number of test rows.
    pub test_rows: usize,
    /// Number of training, validation and test rows that were truncated to `max_length` tokens.
    pub truncated_rows: usize,
    /// Names of the classes. Empty in results of earlier releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Columns that were read as label and text, and the reason for each. `None` for generated texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Reading>,
    /// SHA-256 of the training file, or of the generated texts, in hexadecimal.
    pub sha256: String,
    /// SHA-256 of the test file, or of the generated texts, in hexadecimal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub test_sha256: String,
}

impl DataRecord {
    /// Summarises the data in one line: numbers of rows, the first twenty classes, and the label and text columns.
    pub fn summary(&self) -> String {
        let mut classes = self.classes.iter().take(CLASSES_IN_SUMMARY).cloned().collect::<Vec<_>>().join(", ");
        if self.classes.len() > CLASSES_IN_SUMMARY {
            classes.push_str(", …");
        }
        let columns = self.columns.as_ref().map_or(String::new(), |columns| format!("; {columns}"));
        format!(
            "{}: {} training, {} validation and {} test rows; {} classes: {classes}{columns}",
            self.name,
            self.train_rows,
            self.validation_rows,
            self.test_rows,
            self.classes.len(),
        )
    }
}

/// Size of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// Number of layers, N_L.
    pub layers: usize,
    /// Number of heads per layer, N_H.
    pub heads: usize,
    /// Width of the hidden states, d.
    pub hidden: usize,
    /// Number of neurons in each feed-forward network.
    pub ffn: usize,
    /// Number of trainable parameters of the full model, including embeddings and classifier.
    pub parameters: usize,
}
