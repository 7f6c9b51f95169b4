//! Reader of logged decisions as JSON lines, with hashed features.

use std::io::BufRead;
use std::path::Path;

use serde_json::{Map, Value};

use super::LoggedDecision;
use super::arm_names::ArmNames;
use super::error::{LogError, LogProblem, check_propensity, check_value};
use super::lines::Lines;
use super::summary::RowReader;
use crate::features::FeatureHasher;

/// Reader of logged decisions from JSON lines. A [`FeatureHasher`] converts the features to sparse contexts.
///
/// The keys `arm`, `propensity` and `reward` describe the decision. A missing or null propensity is unknown. Every
/// other key is a feature. A number is a numeric feature; a string or a Boolean is a category. A list is one feature
/// per entry. An object is a namespace of features. Null is skipped. The namespace of a feature outside of an object is
/// its key. The key `_text` in an object contains a text, and each word of the text is a feature.
///
/// ```
/// use dht_bandits::ArmId;
/// use dht_bandits::features::FeatureHasher;
/// use dht_bandits::log::JsonRows;
///
/// let text = r#"{"arm":"coats","propensity":0.25,"reward":1,"country":"DE","user":{"age":0.4,"tags":["new","mobile"]}}
/// {"arm":"hats","propensity":0.25,"reward":0}
/// "#;
/// let mut rows = JsonRows::new(text.as_bytes(), "ads.jsonl", FeatureHasher::new(18)?).with_arm_names(["shoes", "coats"]);
/// let row = rows.next().ok_or("no row")??;
/// assert_eq!((row.arm, row.propensity, row.reward), (ArmId::new(1), Some(0.25), 1.0));
/// let refused = rows.next().ok_or("no row")?.unwrap_err();
/// assert_eq!(refused.to_string(), "ads.jsonl, line 2: unknown action \"hats\"");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct JsonRows<R> {
    lines: Lines<R>,
    hasher: FeatureHasher,
    arms: ArmNames,
}

impl<R: BufRead> JsonRows<R> {
    /// Creates a reader of rows whose arms are numbers. `name` is the file name for error messages.
    pub fn new(reader: R, name: impl AsRef<Path>, hasher: FeatureHasher) -> Self {
        Self { lines: Lines::new(reader, name.as_ref()), hasher, arms: ArmNames::default() }
    }

    /// Sets the names of the arms 0, 1, …. The key `arm` then contains names; an unknown name is an error.
    #[must_use]
    pub fn with_arm_names(self, names: impl IntoIterator<Item: Into<String>>) -> Self {
        Self { arms: ArmNames::new(names), ..self }
    }

    /// Feature hasher of this reader. If it stores names, it knows the names of all features read so far.
    pub fn hasher(&self) -> &FeatureHasher {
        &self.hasher
    }

    fn row(&mut self) -> Result<LoggedDecision, LogProblem> {
        let row: Map<String, Value> = serde_json::from_slice(self.lines.line())
            .map_err(|error| LogProblem::Malformed(format!("{error}, expected an object")))?;
        let missing = |what: &str| LogProblem::Missing(what.to_owned());
        let number = |key: &str| match row.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let number = value.as_f64();
                number.map(Some).ok_or_else(|| LogProblem::Malformed(format!("{key} is {value}, expected a number")))
            }
        };
        let arm = match row.get("arm").ok_or_else(|| missing("arm"))? {
            Value::String(name) => self.arms.find(name)?,
            other => self.arms.find(&other.to_string())?,
        };
        let (propensity, reward) = (number("propensity")?, number("reward")?.ok_or_else(|| missing("reward"))?);
        propensity.map_or(Ok(()), check_propensity)?;
        check_value("reward", reward)?;
        self.hasher.clear();
        for (key, value) in row.iter().filter(|(key, _)| !matches!(key.as_str(), "arm" | "propensity" | "reward")) {
            add_json(&mut self.hasher, key, value)?;
        }
        let context = self.hasher.context().map_err(LogProblem::of_row)?;
        Ok(LoggedDecision::new(context.into_values(), arm, propensity, reward))
    }
}

impl<R: BufRead> Iterator for JsonRows<R> {
    type Item = Result<LoggedDecision, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.lines.advance() {
            Ok(true) => Some(self.row().map_err(|problem| self.lines.refuse(problem))),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl<R: BufRead> RowReader for JsonRows<R> {
    fn left_out(&self) -> Vec<(&'static str, u64)> {
        vec![("last lines that were cut off", self.lines.torn())]
    }
}

/// Adds the features of a JSON value to the hasher. `key` is their namespace.
///
/// # Errors
/// Fails if a number is out of range, or if objects are nested deeper than 32 levels, the limit of Vowpal Wabbit.
pub(super) fn add_json(hasher: &mut FeatureHasher, key: &str, value: &Value) -> Result<(), LogProblem> {
    add_value(hasher, key, key, value, 0)
}

fn add_value(
    hasher: &mut FeatureHasher,
    namespace: &str,
    name: &str,
    value: &Value,
    depth: usize,
) -> Result<(), LogProblem> {
    if depth > 32 {
        return Err(LogProblem::Malformed(format!("{namespace} is nested deeper than 32 levels")));
    }
    match value {
        Value::Null => {}
        Value::Bool(flag) => hasher.category(namespace, name, if *flag { "true" } else { "false" }),
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            hasher.number(namespace, name, number).map_err(LogProblem::of_row)?;
        }
        Value::String(text) if name == "_text" => hasher.text(namespace, text),
        Value::String(text) => hasher.category(namespace, name, text),
        Value::Array(values) => {
            for (position, value) in values.iter().enumerate() {
                match value {
                    // A list of texts is a set of categories, and a list of numbers is a vector.
                    Value::Number(_) => add_value(hasher, namespace, &format!("{name}[{position}]"), value, depth + 1)?,
                    _ => add_value(hasher, namespace, name, value, depth + 1)?,
                }
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                // Nested objects have the namespace of the outermost object.
                if depth == 0 || key == "_text" {
                    add_value(hasher, namespace, key, value, depth + 1)?;
                } else {
                    add_value(hasher, namespace, &format!("{name}.{key}"), value, depth + 1)?;
                }
            }
        }
    }
    Ok(())
}
