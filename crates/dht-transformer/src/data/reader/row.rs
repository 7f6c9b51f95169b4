//! Row of a table.

use super::lines::Lines;
use crate::error::{DataProblem, Result};

pub(super) const MOST_COLUMNS: usize = 1024;

/// Control character that separates several labels in one cell. Texts never contain it.
pub(super) const BETWEEN: char = '\u{1f}';

/// Row of a table. Empty cells of csv and tsv rows are not stored, so that a row needs little more memory than its
/// text.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// Line number at which the row begins, counted from 1.
    pub(crate) line: u64,
    /// Stored cells, each with the index of its column.
    pub(super) cells: Vec<(usize, String)>,
}

impl Row {
    pub(super) fn at(line: u64) -> Self {
        Self { line, cells: Vec::new() }
    }

    /// Cell of a column, without outer spaces. Empty if the row lacks the cell.
    pub(crate) fn cell(&self, column: usize) -> &str {
        self.raw(column).trim()
    }

    /// Cell of a column, as written in the file. Empty if the row lacks the cell.
    pub(crate) fn raw(&self, column: usize) -> &str {
        self.cells.iter().find(|(index, _)| *index == column).map_or("", |(_, text)| text.as_str())
    }

    /// Cell of a column, to be modified; `None` if the cell is blank or is not stored.
    pub(super) fn cell_mut(&mut self, column: usize) -> Option<&mut String> {
        self.cells.iter_mut().find(|(index, text)| *index == column && !text.trim().is_empty()).map(|(_, text)| text)
    }

    pub(super) fn is_blank(&self) -> bool {
        self.cells.iter().all(|(_, text)| text.trim().is_empty())
    }

    /// Returns whether the row has a cell for a column. A jsonl row lacks a cell if its object lacks the key.
    pub(super) fn has(&self, column: usize) -> bool {
        self.cells.iter().any(|(index, _)| *index == column)
    }

    pub(super) fn push(&mut self, column: usize, text: &str) {
        if !text.is_empty() {
            self.put(column, text);
        }
    }

    pub(super) fn put(&mut self, column: usize, text: &str) {
        self.cells.push((column, text.to_owned()));
    }
}

/// Increments a column index and checks the maximum number of columns.
///
/// # Errors
/// [`DataProblem::TooManyColumns`] if the table already has the maximum number of columns.
pub(super) fn next_column(lines: &Lines<'_>, column: usize) -> Result<usize> {
    if column == MOST_COLUMNS {
        return Err(lines.error_at(lines.number(), DataProblem::TooManyColumns { most: MOST_COLUMNS }));
    }
    Ok(column + 1)
}
