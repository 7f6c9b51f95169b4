//! Label cells that hold a list of labels. JSON writes `["food", "staff"]`, and Python writes `['food', 'staff']`.
//! spaCy writes an object with the score of each label: `{"food": 1.0, "staff": 0.0}`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::lines::Problem;
use super::row::BETWEEN;
use super::table::Table;
use crate::data::reading::LabelKind;
use crate::error::DataProblem;

const IN_ERRORS: usize = 80;
/// Minimum score at which a label applies to a text, in a cell with a score for each label.
const APPLIES: f64 = 0.5;
const BRACKETS: [(char, char); 3] = [('[', ']'), ('{', '}'), ('(', ')')];

/// Replaces list cells in the label column by plain labels that are separated by [`BETWEEN`]. Returns the label kind of
/// the column, or `None` if its cells are not lists.
///
/// The task is single-label classification if each row has exactly one label and the caller did not request several
/// labels. `place` is the index of the label column, and `first` is the index of the first row after the header.
pub(super) fn unpack(
    table: &mut Table,
    place: usize,
    first: usize,
    asked: Option<LabelKind>,
) -> Result<Option<LabelKind>, Problem> {
    let is_asked = matches!(asked, Some(LabelKind::Several { .. }));
    let is_quoted = |cell: &str| inside_brackets(cell).is_some_and(|inside| inside.contains(['"', '\'']));
    let is_plain = is_asked || table.nested.contains_key(&place);
    let is_list = |cell: &str| {
        inside_brackets(cell).is_some_and(|inside| is_plain || inside.trim().is_empty() || is_quoted(cell))
    };
    let filled = || table.rows[first..].iter().map(|row| row.cell(place)).filter(|cell| !cell.is_empty());
    let unpacked = table.lists.contains(&place);
    if !unpacked && asked != Some(LabelKind::Number) && are_vectors(filled()) {
        let cell = excerpt(filled().next().unwrap_or_default());
        return Err((table.rows.get(first).map(|row| row.line), DataProblem::VectorCell { cell, separator: ',' }));
    }
    let are_lists = || filled().next().is_some() && filled().all(is_list) && (is_plain || filled().any(is_quoted));
    if !unpacked && !are_lists() {
        return Ok(None);
    }
    let mut alone = true;
    for row in &mut table.rows[first..] {
        let line = row.line;
        let Some(cell) = row.cell_mut(place) else {
            // In a parquet file, a missing cell is an empty list. In other files, the row has no label.
            alone &= !unpacked;
            continue;
        };
        if !unpacked {
            let labels = labels(cell).ok_or_else(|| (Some(line), DataProblem::NestedCell { cell: excerpt(cell) }))?;
            if let Some(label) = labels.iter().find(|label| label.trim().is_empty() || label.contains(BETWEEN)) {
                return Err((Some(line), DataProblem::MissingLabel { label: label.clone() }));
            }
            *cell = labels.join(&BETWEEN.to_string());
        }
        alone &= !cell.is_empty() && !cell.contains(BETWEEN);
    }
    table.nested.remove(&place);
    Ok(Some(match asked {
        None if alone => LabelKind::Class,
        None => LabelKind::Several { separator: BETWEEN },
        Some(LabelKind::Several { .. }) => LabelKind::Several { separator: BETWEEN },
        Some(kind) if alone => kind,
        Some(_) => {
            let several = |cell: &str| cell.is_empty() || cell.contains(BETWEEN);
            let row = table.rows[first..].iter().find(|row| several(row.cell(place)));
            let cell = row.map_or("", |row| row.cell(place)).replace(BETWEEN, ", ");
            return Err((row.map(|row| row.line), DataProblem::NestedCell { cell: excerpt(&format!("[{cell}]")) }));
        }
    }))
}

/// Merges label columns of zeros and ones into one label column. Each cell lists the names of the columns with a 1 in
/// this row, separated by [`BETWEEN`]. The result replaces the first of the columns.
///
/// `first` is the index of the first row after the header.
pub(super) fn join_columns(table: &mut Table, columns: &[(usize, String)], first: usize) -> Result<(), Problem> {
    let Some((label, _)) = columns.first() else { return Ok(()) };
    for row in &mut table.rows[first..] {
        let mut applying = Vec::new();
        for (place, name) in columns {
            match &*row.cell(*place).to_ascii_lowercase() {
                "1" | "1.0" | "true" | "yes" => applying.push(name.as_str()),
                "" | "0" | "0.0" | "false" | "no" => {}
                cell => {
                    let problem = DataProblem::NotAFlag { column: name.clone(), cell: cell.into() };
                    return Err((Some(row.line), problem));
                }
            }
        }
        let joined = applying.join(&BETWEEN.to_string());
        row.cells.retain(|(place, _)| place != label);
        row.put(*label, &joined);
    }
    table.lists.insert(*label);
    table.values.remove(label);
    Ok(())
}

pub(super) fn excerpt(cell: &str) -> String {
    match cell.char_indices().nth(IN_ERRORS) {
        Some((end, _)) => format!("{}…", &cell[..end]),
        None => cell.to_owned(),
    }
}

/// Content of a cell that is enclosed in brackets, parentheses or braces; `None` for other cells.
pub(super) fn inside_brackets(cell: &str) -> Option<&str> {
    // numpy prints a list as `array(['food'], dtype=object)`.
    let cell = cell.strip_prefix("array(").and_then(|rest| rest.get(..=rest.rfind(']')?)).unwrap_or(cell);
    BRACKETS.iter().find_map(|(open, close)| cell.strip_prefix(*open)?.strip_suffix(*close))
}

/// Returns whether all cells are vectors of zeros and ones, such as `[0, 1, 0]`, of the same length. Vectors are not
/// lists of labels, since they do not name the labels.
fn are_vectors<'a>(cells: impl Iterator<Item = &'a str>) -> bool {
    let length = |cell: &str| {
        let values = inside_brackets(cell)?.split([',', ' ']).filter(|value| !value.is_empty());
        let values: Vec<&str> = values.collect();
        let is_value = |value: &&str| ["0", "1", "0.", "1.", "0.0", "1.0", "true", "false"].contains(value);
        (values.len() > 1 && values.iter().all(is_value)).then_some(values.len())
    };
    let mut lengths = cells.map(length);
    let first = lengths.next().flatten();
    first.is_some() && lengths.all(|other| other == first)
}

/// Parses a list of labels. From an object with a score for each label, returns the labels that apply.
fn labels(cell: &str) -> Option<Vec<String>> {
    match serde_json::from_str(cell) {
        Ok(Value::Array(values)) => values.iter().map(scalar).collect(),
        Ok(Value::Object(_)) => {
            let scores: BTreeMap<String, Value> = serde_json::from_str(cell).ok()?;
            let applies = |value: &Value| match value {
                Value::Bool(applies) => Some(*applies),
                Value::Number(score) => Some(score.as_f64()? >= APPLIES),
                Value::Null => Some(false),
                _ => None,
            };
            let of = |(name, value): (String, Value)| Some((name, applies(&value)?));
            let all: Vec<(String, bool)> = scores.into_iter().map(of).collect::<Option<_>>()?;
            Some(all.into_iter().filter(|(_, applies)| *applies).map(|(name, _)| name).collect())
        }
        _ => of_python(inside_brackets(cell)?),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Parses a list of labels that Python or numpy printed, such as `['food', 'staff']`. Quoted labels may be separated by
/// spaces alone, as numpy prints them. Unquoted labels must be separated by commas.
fn of_python(inside: &str) -> Option<Vec<String>> {
    let mut labels = Vec::new();
    let mut rest = inside.trim();
    while !rest.is_empty() {
        let quote = rest.chars().next().filter(|sign| ['"', '\''].contains(sign));
        let end = match quote {
            Some(quote) => {
                let mut label = String::new();
                let mut signs = rest[1..].char_indices();
                let end = loop {
                    match signs.next()? {
                        (_, '\\') => label.push(signs.next().filter(|(_, sign)| ['\\', '"', '\''].contains(sign))?.1),
                        (at, sign) if sign == quote => break at + 2,
                        (_, sign) => label.push(sign),
                    }
                };
                labels.push(label.trim().to_owned());
                end
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let label = rest[..end].trim();
                // A quote or bracket inside a label shows that the cell is not a list of labels.
                if label.is_empty() || label.contains(['"', '\'', '[', '{', '(', ':']) {
                    return None;
                }
                labels.push(label.to_owned());
                end
            }
        };
        let after = rest[end..].trim_start();
        rest = match after.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if after.is_empty() || quote.is_some() && after.starts_with(['"', '\'']) => after,
            None => return None,
        };
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_json_python_numpy_and_spacy_are_labels() {
        for (cell, expected) in [
            (r#"["food", "staff"]"#, &["food", "staff"][..]),
            ("['food', 'staff']", &["food", "staff"]),
            ("['food' 'staff']", &["food", "staff"]),
            ("('food',)", &["food"]),
            ("array(['food', 'staff'], dtype=object)", &["food", "staff"]),
            ("{'food'}", &["food"]),
            (r#"["it's", 'a "b"', 'c\'d']"#, &["it's", "a \"b\"", "c'd"]),
            ("[food, old staff]", &["food", "old staff"]),
            ("[27, 3]", &["27", "3"]),
            ("[]", &[]),
            (r#"{"food": 1.0, "staff": 0, "bill": true, "tea": null}"#, &["bill", "food"]),
        ] {
            let expected: Vec<String> = expected.iter().map(|label| (*label).to_owned()).collect();
            assert_eq!(labels(cell), Some(expected), "{cell}");
        }
    }

    #[test]
    fn what_is_no_list_of_labels_is_none() {
        for cell in ["[[1], [2]]", "['a' b]", "['a", "[a, ]x", "{'a': 1}", "[,]", "[\"a\", {\"b\": 1}]", r"['\x41']"] {
            assert_eq!(labels(cell), None, "{cell}");
        }
    }

    #[test]
    fn vectors_have_no_names() {
        assert!(are_vectors(["[0, 1, 1]", "[1,0,0]"].into_iter()));
        assert!(are_vectors(["[0 1]", "[1. 0.]"].into_iter()));
        assert!(!are_vectors(["[0, 1]", "[1]"].into_iter()));
        assert!(!are_vectors(["[3, 1]", "[0, 1]"].into_iter()));
    }
}
