//! Class names in the fields `id2label` and `label2id` of a `config.json`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::bert_config::BertConfig;
use crate::error::{Error, Result};

const NAMES: &str = "id2label";
const NUMBERS: &str = "label2id";
const COUNT: &str = "num_labels";

impl BertConfig {
    /// Class names from the field `id2label`; `None` if it does not name every class from 0 on.
    pub fn labels(&self) -> Option<Vec<String>> {
        let names = self.other.get(NAMES)?.as_object()?;
        self.class_names(names.len()).ok()
    }

    /// Names of a classifier's outputs, in order: from `id2label`, else from `label2id`, else `LABEL_0`, `LABEL_1`, ….
    ///
    /// # Errors
    /// [`Error::Argument`] with the invalid field in these cases:
    ///
    /// - the class numbers are not 0, 1, 2 and so on without gaps, or the number of names differs from the number of
    ///   outputs;
    /// - names are empty, duplicates, or differ only in invisible characters;
    /// - `label2id` contradicts `id2label`, or `num_labels` differs from the number of outputs.
    pub fn class_names(&self, outputs: usize) -> Result<Vec<String>> {
        let field = |name| self.other.get(name).filter(|value| !value.is_null());
        if let Some(count) = field(COUNT)
            && count.as_u64() != Some(outputs as u64)
        {
            return Err(Error::argument(COUNT, format!("{outputs}, the classifier's outputs"), count.to_string()));
        }
        let numbers = field(NUMBERS).map(numbers).transpose()?;
        let names = match (field(NAMES), &numbers) {
            (Some(names), _) => named(names, outputs)?,
            (None, Some(numbers)) => {
                let pairs = numbers.iter().map(|(name, number)| (*number, name.clone())).collect::<Vec<_>>();
                in_order(NUMBERS, pairs, outputs)?
            }
            (None, None) => (0..outputs).map(|class| format!("LABEL_{class}")).collect(),
        };
        check_names(NAMES, &names)?;
        for (class, name) in names.iter().enumerate() {
            if let Some(number) =
                numbers.as_ref().and_then(|numbers| numbers.get(name)).filter(|it| **it != class as i64)
            {
                let expected = format!("{class} for {name:?}, as {NAMES} says");
                return Err(Error::argument(NUMBERS, expected, number.to_string()));
            }
        }
        Ok(names)
    }
}

/// Parses `id2label` to a list of names, in the order of the class numbers.
fn named(value: &Value, outputs: usize) -> Result<Vec<String>> {
    let refuse = |expected: &str, got: String| Err(Error::argument(NAMES, expected, got));
    let Some(fields) = value.as_object() else {
        return refuse("an object that gives each class's number its name", value.to_string());
    };
    let mut pairs = Vec::with_capacity(fields.len());
    for (number, name) in fields {
        let Ok(number) = number.trim().parse::<i64>() else {
            return refuse("an object whose keys are the numbers of classes", format!("one with the key {number:?}"));
        };
        let name = match name {
            Value::String(name) => name.clone(),
            Value::Number(name) => name.to_string(),
            other => return refuse("a name for each class", format!("{other} for class {number}")),
        };
        pairs.push((number, name));
    }
    in_order(NAMES, pairs, outputs)
}

/// Parses `label2id`, whose class numbers may be strings.
fn numbers(value: &Value) -> Result<BTreeMap<String, i64>> {
    let fields: &Map<String, Value> = value.as_object().ok_or_else(|| {
        Error::argument(NUMBERS, "an object that gives each class's name its number", value.to_string())
    })?;
    let number = |(name, number): (&String, &Value)| {
        let parsed = number.as_i64().or_else(|| number.as_str()?.trim().parse().ok());
        let refuse = || Error::argument(NUMBERS, "a whole number for each class", format!("{number} for {name:?}"));
        Ok((name.clone(), parsed.ok_or_else(refuse)?))
    };
    fields.iter().map(number).collect()
}

/// Sorts names by their class numbers, which must be 0, 1, …, one for each output.
fn in_order(field: &'static str, mut pairs: Vec<(i64, String)>, outputs: usize) -> Result<Vec<String>> {
    pairs.sort();
    if pairs.iter().map(|(number, _)| *number).eq(0..outputs as i64) {
        return Ok(pairs.into_iter().map(|(_, name)| name).collect());
    }
    let last = outputs.saturating_sub(1);
    let expected = format!("one name for each of the classifier's outputs, 0 to {last}");
    const MOST: usize = 12;
    let mut got: Vec<String> = pairs.iter().take(MOST).map(|(number, name)| format!("{number}: {name:?}")).collect();
    if pairs.len() > MOST {
        got.push(format!("… ({} in all)", pairs.len()));
    }
    Err(Error::argument(field, expected, if got.is_empty() { "empty".into() } else { got.join(", ") }))
}

impl BertConfig {
    /// Checks that no class name is empty, and that no two names are equal up to invisible characters.
    ///
    /// # Errors
    /// [`Error::Argument`] with the invalid names.
    pub fn check_class_names(names: &[String]) -> Result<()> {
        check_names("labels", names)
    }
}

/// Checks that no class name in `field` is empty, and that no two names are equal up to invisible characters.
fn check_names(field: &'static str, names: &[String]) -> Result<()> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (class, name) in names.iter().enumerate() {
        let visible = visible(name);
        if visible.is_empty() {
            return Err(Error::argument(field, "names with letters", format!("{class}: \"{}\"", name.escape_debug())));
        }
        if let Some(other) = seen.insert(visible, class) {
            let spelled = |class: usize| format!("{class}: \"{}\"", escaped(&names[class]));
            let got = format!("{}, {}", spelled(other), spelled(class));
            return Err(Error::argument(field, "another name for each class", got));
        }
    }
    Ok(())
}

/// Normalises a class name for comparison: removes outer spaces and zero-width characters.
fn visible(name: &str) -> String {
    let unseen = |sign: &char| {
        sign.is_control() || matches!(sign, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
    };
    let spaced: String = name.chars().filter(|sign| !unseen(sign)).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Escapes all characters of a class name that are not ASCII, so that invisible differences show.
fn escaped(name: &str) -> String {
    let sign = |sign: char| {
        if sign.is_ascii_graphic() || sign == ' ' { sign.to_string() } else { sign.escape_unicode().to_string() }
    };
    name.chars().map(sign).collect()
}
