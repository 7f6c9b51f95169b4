//! Parser of tsv rows. Quotes are ordinary characters, except around a cell that contains quotes or line ends.

use std::borrow::Cow;

use super::lines::{LONGEST_ROW, Lines};
use super::row::{Row, next_column};
use crate::error::{DataProblem, Result};

/// Splits a line at tabs into the cells of `row`. Returns the number of columns.
pub(super) fn tsv_row(lines: &mut Lines<'_>, line: String, row: &mut Row) -> Result<usize> {
    let mut width = 0;
    for cell in line.strip_suffix('\r').unwrap_or(&line).split('\t') {
        row.push(width, cell);
        width = next_column(lines, width)?;
    }
    Ok(width)
}

/// Splits a line at tabs, as [`tsv_row`] does. Also unquotes cells that a program quoted because they contain quotes.
pub(super) fn unquoted_tsv_row(lines: &mut Lines<'_>, line: String, row: &mut Row) -> Result<usize> {
    let width = tsv_row(lines, line, row)?;
    for (_, cell) in &mut row.cells {
        if let Cow::Owned(unquoted) = unquoted(cell) {
            *cell = unquoted;
        }
    }
    Ok(width)
}

/// Unquotes a tsv cell that is quoted as in csv: the whole cell is enclosed in quotes, and each quote inside is
/// doubled. Other cells are returned unchanged, since a quote is an ordinary character in tsv.
pub(super) fn unquoted(cell: &str) -> Cow<'_, str> {
    let inner = cell.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner.filter(|inner| inner.contains("\"\"") && !inner.replace("\"\"", "").contains('"')) {
        Some(inner) => inner.replace("\"\"", "\"").into(),
        None => cell.into(),
    }
}

pub(super) fn other_width(row: &Row, expected: usize, got: usize) -> DataProblem {
    match opens_quote(row, expected, got) {
        true => DataProblem::OpenQuote { column: got - 1 },
        false => DataProblem::ColumnCount { expected, got },
    }
}

/// Returns whether a row has fewer cells than `expected`, and its last cell opens a quote that is not closed on the
/// line.
pub(super) fn opens_quote(row: &Row, expected: usize, got: usize) -> bool {
    let last = row.cell(got.saturating_sub(1));
    got < expected && last.starts_with('"') && !last[1..].replace("\"\"", "").contains('"')
}

/// Completes a tsv row whose last cell opens a quote, by reading further lines. Python's csv module writes cells with
/// line ends in this way.
///
/// `got` is the number of cells on the first line. Reading stops when the quote is closed and the row has `expected`
/// cells. The cells are stored in the row without the quotes. Returns their number.
///
/// # Errors
/// [`DataProblem::OpenQuote`] if no later line closes the quote and completes the row.
pub(super) fn read_quoted_lines(lines: &mut Lines<'_>, row: &mut Row, got: usize, expected: usize) -> Result<usize> {
    let mut joined = (0..got).map(|column| row.raw(column)).collect::<Vec<_>>().join("\t");
    let refused = |lines: &Lines<'_>| lines.error_at(row.line, DataProblem::OpenQuote { column: got - 1 });
    let cells = loop {
        let Some(next) = lines.next_line()? else { return Err(refused(lines)) };
        joined.push('\n');
        joined.push_str(next.strip_suffix('\r').unwrap_or(&next));
        let cells: Vec<&str> = joined.split('\t').collect();
        let inner = cells[got - 1].trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match inner.filter(|inner| !inner.replace("\"\"", "").contains('"')) {
            Some(inner) if cells.len() == expected => {
                let unquoted = inner.replace("\"\"", "\"");
                let own = cells.iter().enumerate();
                break own
                    .map(|(column, cell)| if column + 1 == got { unquoted.clone() } else { (*cell).to_owned() })
                    .collect::<Vec<String>>();
            }
            _ if cells.len() >= expected || joined.len() > LONGEST_ROW => return Err(refused(lines)),
            _ => {}
        }
    };
    row.cells.clear();
    cells.iter().enumerate().for_each(|(column, cell)| row.push(column, cell));
    Ok(expected)
}
