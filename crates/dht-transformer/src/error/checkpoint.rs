//! Reasons why a checkpoint of a training run is refused.

use std::fmt;

use serde_json::Value;

/// Reason why a file is refused as a checkpoint of a training run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointProblem {
    /// The file has the wrong size, since writing or copying it was interrupted.
    #[error("is torn: it has {found} bytes, expected {expected}")]
    Torn {
        /// Expected size in bytes.
        expected: u64,
        /// Actual size in bytes.
        found: u64,
    },
    /// The file is not a checkpoint of this crate.
    #[error("is not a checkpoint of this crate")]
    Foreign,
    /// The checkpoint was written by a later release of this crate.
    #[error("has format version {found}, expected at most {supported}")]
    Newer {
        /// Format version of the checkpoint.
        found: u64,
        /// Latest format version that this release supports.
        supported: u64,
    },
    /// The content differs from its checksum.
    #[error("is damaged: the SHA-256 of its content differs from the one that it states")]
    Checksum,
    /// The checkpoint belongs to a training run with other settings or other data.
    #[error(
        "belongs to another training run: {differences}; repeat the settings of that run, or start again without resuming or at another path",
        differences = listed(differences),
    )]
    OtherTraining {
        /// Settings in which the checkpoint and the requested training run differ.
        differences: Vec<SettingMismatch>,
    },
    /// The header or the saved state in the checkpoint is invalid.
    #[error("is damaged: {what}")]
    Content {
        /// Description of the invalid part.
        what: String,
    },
}

/// Training setting whose value in a checkpoint differs from the requested value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingMismatch {
    /// Path of the setting, such as `optimizer.learning_rate`.
    pub field: String,
    /// Value in the checkpoint as JSON; `null` if the checkpoint lacks the setting.
    pub stored: String,
    /// Requested value as JSON; `null` if the request lacks the setting.
    pub asked: String,
}

impl SettingMismatch {
    /// Lists the fields in which two JSON states differ, ordered by path. Objects with the same keys are compared key
    /// by key. All other values are compared as a whole: two variants of a setting with different fields count as one
    /// difference.
    ///
    /// # Examples
    /// ```
    /// use dht_transformer::error::SettingMismatch;
    /// use serde_json::json;
    ///
    /// let stored = json!({ "seed": 1, "reward": { "gain": { "lambda": 0.3 } } });
    /// let asked = json!({ "seed": 1, "reward": { "gain": { "lambda": 0.5 } } });
    /// let [difference] = &SettingMismatch::between(&stored, &asked)[..] else { panic!("one difference") };
    /// assert_eq!(difference.to_string(), "reward.gain.lambda is 0.3 there and 0.5 here");
    /// ```
    pub fn between(stored: &Value, asked: &Value) -> Vec<Self> {
        let mut differences = Vec::new();
        collect("", stored, asked, &mut differences);
        differences
    }
}

impl fmt::Display for SettingMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} there and {} here", self.field, self.stored, self.asked)
    }
}

fn listed(differences: &[SettingMismatch]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn collect(field: &str, stored: &Value, asked: &Value, differences: &mut Vec<SettingMismatch>) {
    match (stored, asked) {
        _ if stored == asked => {}
        (Value::Object(left), Value::Object(right)) if left.keys().eq(right.keys()) => {
            for ((key, left), right) in left.iter().zip(right.values()) {
                let field = if field.is_empty() { key.clone() } else { format!("{field}.{key}") };
                collect(&field, left, right, differences);
            }
        }
        _ => differences.push(SettingMismatch {
            field: field.into(),
            stored: stored.to_string(),
            asked: asked.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_name_the_innermost_field_that_both_have() {
        let stored = json!({ "a": 1, "b": { "c": [1, 2], "d": { "x": 1 } }, "e": null });
        let asked = json!({ "a": 1, "b": { "c": [1, 3], "d": { "y": 1 } }, "e": 0.5 });
        let texts: Vec<String> = SettingMismatch::between(&stored, &asked).iter().map(ToString::to_string).collect();
        let expected = [
            "b.c is [1,2] there and [1,3] here",
            r#"b.d is {"x":1} there and {"y":1} here"#,
            "e is null there and 0.5 here",
        ];
        assert_eq!(texts, expected);
        assert!(SettingMismatch::between(&stored, &stored).is_empty());
    }
}
