//! Detection of a header row in csv and tsv files.

use std::collections::BTreeSet;

use super::cells::{is_date, is_missing, is_number, is_words};
use super::names::{INDEX, is_called, is_known, is_one_of};
use super::row::Row;
use super::table::Table;
use crate::data::reading::{Column, HeaderSource};
use crate::error::DataProblem;

/// Minimum number of words for a cell to count as a text. Shorter cells may be column names.
const SENTENCE: usize = 5;

/// Presence of a header in a table, and the reason for the decision.
pub(super) type Decision = (bool, HeaderSource);

/// Decides whether the first row of a table is a header, unless `asked` states it.
///
/// The first row is a header if it contains the name of a requested or known column, or a word in a column that
/// otherwise holds numbers or dates. It is data if one of its cells is like the other cells of the column. `expected`
/// states whether the training set has a header, if this is known.
///
/// # Errors
/// [`DataProblem::FirstRow`] if the first row may be a header or data; [`DataProblem::OtherHeader`] if the decision
/// contradicts `expected`.
pub(super) fn decide(
    table: &Table,
    asked: Option<bool>,
    expected: Option<bool>,
    columns: &[&Column],
) -> Result<Decision, DataProblem> {
    let Some(first) = table.rows.first() else { return Ok((false, HeaderSource::Asked)) };
    if let Some(header) = asked {
        return Ok((header, HeaderSource::Asked));
    }
    let rest = &table.rows[1..];
    let (name, data) = (name_of(first, table.width, rest, columns), value_of(first, table.width, rest));
    // A known name next to a sentence may be a label next to its text, unless the name was requested.
    let asked = |name: &String| columns.iter().any(|column| matches!(column, Column::Name(own) if own == name));
    let sentence = |column| first.cell(column).split_whitespace().count() >= SENTENCE;
    if name.as_ref().is_some_and(|name| !asked(name)) && data.is_none() && (0..table.width).any(sentence) {
        return expected.map_or(Err(DataProblem::FirstRow), |expected| Ok((expected, HeaderSource::Training)));
    }
    if counts(first, table.width) && !rest.is_empty() && name.is_none() {
        // Column numbers above words are names. Above other numbers they may be data.
        let above_words =
            |column: usize| is_number(first.cell(column)) && !rest.iter().any(|row| is_number(row.cell(column)));
        return match (0..table.width).any(above_words) {
            true if expected != Some(false) => Ok((true, HeaderSource::Numbers)),
            _ => expected.map_or(Err(DataProblem::FirstRow), |expected| Ok((expected, HeaderSource::Training))),
        };
    }
    let decision = match (name, data) {
        (Some(name), None) => Some((true, HeaderSource::Name(name))),
        (None, Some(column)) => Some((false, HeaderSource::Value(column))),
        // A name that is also a value of its own column does not decide.
        (Some(_), Some(_)) => None,
        (None, None) => words_above(first, table.width, rest).map(|source| (true, source)),
    };
    match (decision, expected) {
        (Some(decision), Some(expected)) if decision.0 != expected => {
            Err(DataProblem::OtherHeader { is: header_or_none(decision.0), expected: header_or_none(expected) })
        }
        (Some(decision), _) => Ok(decision),
        (None, Some(expected)) => Ok((expected, HeaderSource::Training)),
        (None, None) => Err(DataProblem::FirstRow),
    }
}

/// Finds the name of a requested or known column in the first row. A name that also occurs as a value of the column is
/// ignored.
fn name_of(first: &Row, width: usize, rest: &[Row], columns: &[&Column]) -> Option<String> {
    let requested = |cell: &str| columns.iter().any(|column| matches!(column, Column::Name(name) if name == cell));
    let repeats = |column: usize| rest.iter().any(|row| row.cell(column) == first.cell(column)) && !rest.is_empty();
    let again = |row: &Row| is_header_again(row, first, width);
    let values =
        |column: usize| repeats(column) && rest.iter().any(|row| row.cell(column) == first.cell(column) && !again(row));
    let places = || (0..width).filter(|column| !first.cell(*column).is_empty() && !values(*column));
    let named = |place: usize| first.cell(place).to_owned();
    let index = |place: &usize| *place == 0 && is_one_of(first.cell(*place), &INDEX) && all(rest, *place, is_number);
    places()
        .find(|place| requested(first.cell(*place)))
        .or_else(|| places().find(|place| is_known(first.cell(*place))))
        .or_else(|| places().find(index))
        .map(named)
}

/// Finds a column whose first cell looks like data: a number above numbers, a date above dates, or a value that occurs
/// again below. Its index is evidence that the table has no header.
fn value_of(first: &Row, width: usize, rest: &[Row]) -> Option<usize> {
    (0..width).find(|column| {
        let cell = first.cell(*column);
        if cell.is_empty() {
            return false;
        }
        let like = |kind: fn(&str) -> bool| kind(cell) && rest.iter().any(|row| kind(row.cell(*column)));
        let again = |row: &Row| row.cell(*column) == cell && !is_header_again(row, first, width);
        like(is_number) || like(is_date) || rest.iter().any(again)
    })
}

/// Finds a column whose first cell is a word and whose other cells are all numbers or all dates. This is evidence of a
/// header.
fn words_above(first: &Row, width: usize, rest: &[Row]) -> Option<HeaderSource> {
    let above = |column: &usize| {
        let cell = first.cell(*column);
        is_words(cell) && !is_missing(cell) && (all(rest, *column, is_number) || all(rest, *column, is_date))
    };
    (0..width).find(above).map(HeaderSource::Words)
}

/// Returns whether the first row contains column numbers (0, 1, 2, …). pandas' `df.to_csv` writes such a header for
/// columns without names, with or without an index column.
fn counts(first: &Row, width: usize) -> bool {
    let from = usize::from(first.cell(0).is_empty());
    width > from && (from..width).all(|column| first.cell(column) == (column - from).to_string())
}

fn header_or_none(header: bool) -> &'static str {
    if header { "a header" } else { "no header" }
}

/// Returns whether a column has at least one filled cell, and `kind` is true for all of its filled cells.
fn all(rest: &[Row], column: usize, kind: fn(&str) -> bool) -> bool {
    let mut filled =
        rest.iter().map(|row| row.cell(column)).filter(|cell| !cell.is_empty() && !is_missing(cell)).peekable();
    filled.peek().is_some() && filled.all(kind)
}

/// Returns whether a row repeats the header, in the same or another order. Such rows occur in concatenated files.
pub(super) fn is_header_again(row: &Row, header: &Row, width: usize) -> bool {
    if width < 2 {
        return false;
    }
    if (0..width).all(|column| is_called(row.cell(column), header.cell(column))) {
        return true;
    }
    let names = |row: &Row| (0..width).map(|column| row.cell(column).to_lowercase()).collect::<BTreeSet<_>>();
    let first = row.cell(0).to_lowercase();
    (0..width).any(|column| is_called(header.cell(column), &first)) && names(row) == names(header)
}
