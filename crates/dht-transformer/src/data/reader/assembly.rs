//! Conversion of a parsed table to a data set.

use std::borrow::Cow;
use std::path::Path;

use super::cells::is_missing;
use super::columns::{Places, find_columns};
use super::file_name::name_of;
use super::labels::Labels;
use super::left_out::leave_out;
use super::lines::Problem;
use super::lists::{join_columns, unpack};
use super::request::TableRequest;
use super::row::Row;
use super::table::Table;
use super::text::joined;
use crate::data::dataset::{Dataset, Example};
use crate::data::reading::{Column, LabelKind, Reading, TableFormat};
use crate::error::{DataProblem, Error, Result};

/// Label kind of a column whose cells are lists of labels.
const JOINED: LabelKind = LabelKind::Several { separator: ',' };

pub(super) struct TableFile<'a> {
    pub(super) path: &'a Path,
    pub(super) format: TableFormat,
    pub(super) sha256: String,
}

/// Converts a table with at least one row to a data set. Detects the text and label columns and the classes. Rows are
/// moved out of the table, so that memory never holds a text twice.
pub(super) fn assemble(mut table: Table, request: &TableRequest, file: TableFile<'_>) -> Result<Dataset> {
    let parts = Table { parts: table.parts.clone(), ..Table::default() };
    let at = |(line, problem): Problem| {
        let (part, line) = line.map_or((None, None), |line| (parts.origin(line).0, Some(parts.origin(line).1)));
        Error::Data { path: part.unwrap_or(file.path).into(), line, problem }
    };
    let places = find_columns(&table, request).map_err(at)?;
    let named = places.label_columns.iter().map(|place| match places.column(*place) {
        Column::Name(name) => Ok((*place, name)),
        Column::Number(number) => Err((None, DataProblem::UnnamedLabel { column: number })),
    });
    let named = named.collect::<std::result::Result<Vec<_>, Problem>>().map_err(at)?;
    join_columns(&mut table, &named, usize::from(places.header_row)).map_err(at)?;
    let asked = if named.is_empty() { request.kind } else { Some(JOINED) };
    let drawn_from = table.end_draw(places.header_row);
    let lists = unpack(&mut table, places.label, usize::from(places.header_row), asked).map_err(at)?;
    places.check(&table, request.pair).map_err(at)?;
    let kind = lists.or(request.kind).unwrap_or_default();
    let left_out = leave_out(&mut table, places.label, usize::from(places.header_row), request, kind);
    let labels = Labels::read(&table, &places, request, lists).map_err(at)?;
    let mut reading = interpretation(&table, &places, &labels, request, file.format);
    if let Some(kind) = lists {
        let several = matches!(kind, LabelKind::Several { .. });
        (reading.kind, reading.lists) = (if several { asked.unwrap_or(JOINED) } else { kind }, true);
    }

    (reading.unlabelled_rows, reading.unknown_labels) = (left_out.unlabelled, left_out.unknown);
    reading.drawn_from = drawn_from;
    let first = usize::from(places.header_row);
    let rows = std::mem::take(&mut table.rows);
    let ends = [rows.get(first), rows.last()].map(|row| row.map(|row| parts.origin(row.line).1));
    // In a jsonl file, a missing key is an error. In other files, a missing cell is empty.
    let needs_keys = file.format == TableFormat::JsonLines;
    let example = |row: Row| {
        let example = example(&row, &places, &labels, request.pair, needs_keys);
        example.map_err(|problem| at((Some(row.line), problem)))
    };
    let examples = rows.into_iter().skip(first).map(example).collect::<Result<Vec<_>>>()?;

    if labels.classes.is_empty() {
        return Err(at((None, DataProblem::EmptyLabel)));
    }
    // -1 stands for a secret number, but it may also be a real value of some rows.
    let hides_numbers = examples.len() > 1 && examples.iter().all(|row| row.targets == [-1.0]);
    if reading.kind == LabelKind::Number && hides_numbers {
        return Err(at((ends[0], DataProblem::HiddenLabel)));
    }
    reading.missing_texts = missing_texts(&examples);
    if reading.kind == LabelKind::Class && request.labels.is_none() {
        reading.missing_labels = missing_labels(&examples, &labels.classes);
        reading.lone_class = lone_class(&examples, ends, &labels.classes);
    }
    let name = name_of(file.path);
    Ok(Dataset { name, labels: labels.classes, examples, sha256: file.sha256, reading: Some(reading) })
}

/// Reports how a table was interpreted: its columns, labels and numbers of rows. The fields with warnings about texts
/// and rows are left empty.
fn interpretation(
    table: &Table,
    places: &Places,
    labels: &Labels,
    request: &TableRequest,
    format: TableFormat,
) -> Reading {
    let is_read =
        |place: &usize| *place == places.label || places.label_columns.contains(place) || places.text.contains(place);
    let carried: Vec<usize> = (0..table.width).filter(|place| !is_read(place)).collect();
    Reading {
        format: Some(format),
        separator: table.separator,
        encoding: table.encoding.clone(),
        lists: false,
        header: places.names.is_some(),
        header_source: places.header_source.clone(),
        label: Some(places.column(places.label)),
        label_columns: places.columns(&places.label_columns),
        label_source: places.label_source,
        label_rivals: places.columns(&places.label_rivals),
        kind: request.kind.unwrap_or_default(),
        mapping: labels.mapping.clone(),
        text: places.columns(&places.text),
        text_source: places.text_source,
        pair: request.pair,
        carried: places.columns(&carried),
        rows: table.rows.len() - usize::from(places.header_row),
        drawn_from: None,
        blank_lines: table.blank_lines,
        leaks: places.leaks.clone(),
        missing_texts: None,
        missing_labels: None,
        unlabelled_rows: 0,
        unknown_labels: Vec::new(),
        lone_class: None,
    }
}

/// Converts a row to an example. If `needs_keys` is set, a row that lacks the key of a text column is refused.
fn example(
    row: &Row,
    places: &Places,
    labels: &Labels,
    pair: bool,
    needs_keys: bool,
) -> std::result::Result<Example, DataProblem> {
    if needs_keys && let Some(place) = places.text.iter().find(|place| !row.has(**place)) {
        return Err(DataProblem::MissingKey { key: places.column(*place).to_string() });
    }
    let (label, targets) = labels.of_row(row)?;
    let texts: Vec<Cow<'_, str>> = places.text.iter().map(|place| Example::clean_text(row.raw(*place))).collect();
    if texts.iter().all(|text| text.is_empty()) {
        return Err(DataProblem::NoText);
    }
    Ok(match &*texts {
        [text, second] if pair => Example { text: text.to_string(), pair: Some(second.to_string()), label, targets },
        texts => Example { text: joined(texts), pair: None, label, targets },
    })
}

/// Finds a class whose name usually stands for a missing value, such as "nan". Returns its number of rows and its name.
/// "none" is not reported, since it is often a real class.
fn missing_labels(examples: &[Example], classes: &[String]) -> Option<(usize, String)> {
    let class = classes.iter().position(|class| is_missing(class) && class != "none")?;
    Some((examples.iter().filter(|example| example.label == class).count(), classes[class].clone()))
}

/// Counts the texts that usually stand for a missing value, such as "nan". Returns their number and the first of them.
fn missing_texts(examples: &[Example]) -> Option<(usize, String)> {
    let mut missing = examples.iter().map(|example| &example.text).filter(|text| is_missing(text));
    let first = missing.next()?;
    Some((1 + missing.count(), first.clone()))
}

/// Finds a class that occurs only in the first or only in the last row of a file, which often means that this row is
/// not data. Returns the line number of the row and the class. Files with fewer than four rows per class on average are
/// not checked.
fn lone_class(examples: &[Example], ends: [Option<u64>; 2], classes: &[String]) -> Option<(u64, String)> {
    if examples.len() < 4 * classes.len() {
        return None;
    }
    let alone = |label| examples.iter().filter(|example| example.label == label).count() == 1;
    [examples.first(), examples.last()].into_iter().zip(ends).find_map(|(example, line)| {
        let class = example.map(|example| example.label).filter(|label| alone(*label))?;
        Some((line?, classes.get(class)?.clone()))
    })
}
