//! Rules that decide how fields of JSON files are treated.

use serde_json::{Map, Value};

use super::entry::{Entry, Treatment};
use crate::error::Error;

/// Condition under which a known field prevents loading.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Check {
    /// The field is applied, whatever its value.
    Obeyed,
    /// The field is ignored, whatever its value: it has no effect on outputs.
    Harmless,
    /// The field is refused unless its value is null, false, 0, or an empty text, list or object.
    Empty,
    /// The field is refused unless its value is null or one of these texts.
    Only(&'static [&'static str]),
    /// The field is refused unless its value is null or this number.
    Number(u64),
}

/// Rule for known fields that are treated in the same way, with the reason.
pub(crate) struct Rule {
    names: &'static [&'static str],
    check: Check,
    reason: &'static str,
}

impl Rule {
    pub(crate) const fn new(check: Check, reason: &'static str, names: &'static [&'static str]) -> Self {
        Self { names, check, reason }
    }

    fn treatment(&self, value: &Value) -> Treatment {
        match self.check {
            Check::Obeyed => Treatment::Obeyed,
            Check::Harmless => Treatment::Harmless,
            Check::Empty if is_empty(value) => Treatment::Harmless,
            Check::Only(texts) if value.is_null() || texts.iter().any(|text| value == text) => Treatment::Obeyed,
            Check::Number(number) if value.is_null() || value == number => Treatment::Obeyed,
            Check::Empty | Check::Only(_) | Check::Number(_) => Treatment::Refused,
        }
    }
}

/// Returns whether a value is null, false, 0 or empty, so that it enables no feature.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) => false,
    }
}

/// Finds the rule for a field. Also returns the field's name as a static string.
pub(super) fn find(table: &'static [Rule], field: &str) -> Option<(&'static Rule, &'static str)> {
    table.iter().find_map(|rule| {
        let name = rule.names.iter().find(|name| **name == field)?;
        Some((rule, *name))
    })
}

/// Creates an account entry (name, treatment and reason) for each field of a file. `find` looks up the rule for a
/// field.
pub(super) fn entries(
    find: impl Fn(&str) -> Option<(&'static Rule, &'static str)>,
    file: &str,
    fields: &Map<String, Value>,
) -> Vec<Entry> {
    let entry = |(field, value): (&String, &Value)| {
        let (treatment, reason) = match find(field) {
            Some((Rule { check: Check::Empty | Check::Only(_) | Check::Number(_), .. }, _)) if is_empty(value) => {
                (Treatment::Harmless, "not set")
            }
            Some((rule, _)) => (rule.treatment(value), rule.reason),
            None => (Treatment::Unknown, "no field that transformers reads for this model"),
        };
        Entry::new(file, Some(field), treatment, reason)
    };
    fields.iter().map(entry).collect()
}

/// Creates an error for each field that prevents loading. `find` looks up the rule for a field.
pub(super) fn refusals(
    find: impl Fn(&str) -> Option<(&'static Rule, &'static str)>,
    fields: &Map<String, Value>,
) -> Vec<Error> {
    let refusal = |(field, value): (&String, &Value)| {
        let (rule, name) = find(field)?;
        let expected = match rule.check {
            Check::Only(texts) => {
                let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
                format!("{}: {}", texts.join(" or "), rule.reason)
            }
            Check::Number(number) => format!("{number}: {}", rule.reason),
            _ if value.is_boolean() => format!("false: {}", rule.reason),
            _ => format!("none: {}", rule.reason),
        };
        (rule.treatment(value) == Treatment::Refused).then(|| Error::argument(name, expected, shortened(value)))
    };
    fields.iter().filter_map(refusal).collect()
}

fn shortened(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
