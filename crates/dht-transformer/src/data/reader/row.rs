//! Row of cells.

use super::lines::Lines;
use crate::error::{DataProblem, Result};

/// Maximum number of columns of a table.
pub(super) const MOST_COLUMNS: usize = 1024;

/// Separator of several labels in one cell. No text contains this character.
pub(super) const BETWEEN: char = '\u{1f}';

/// Row of a table. Empty cells of csv and tsv rows are omitted, so that a row needs little more memory than its text.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// First physical line of the row, counted from 1.
    pub(crate) line: u64,
    /// Cells that are not omitted, each with the index of its column.
    pub(super) cells: Vec<(usize, String)>,
}

impl Row {
    /// Creates an empty row that begins on a line.
    pub(super) fn at(line: u64) -> Self {
        Self { line, cells: Vec::new() }
    }

    /// Trimmed cell of a column; empty if the row lacks the cell.
    pub(crate) fn cell(&self, column: usize) -> &str {
        self.raw(column).trim()
    }

    /// Cell of a column as written; empty if the row lacks the cell.
    pub(crate) fn raw(&self, column: usize) -> &str {
        self.cells.iter().find(|(index, _)| *index == column).map_or("", |(_, text)| text.as_str())
    }

    /// Mutable cell of a column; `None` if the cell is missing or blank.
    pub(super) fn cell_mut(&mut self, column: usize) -> Option<&mut String> {
        self.cells.iter_mut().find(|(index, text)| *index == column && !text.trim().is_empty()).map(|(_, text)| text)
    }

    /// Returns whether all cells are blank.
    pub(super) fn is_blank(&self) -> bool {
        self.cells.iter().all(|(_, text)| text.trim().is_empty())
    }

    /// Returns whether the row has a cell for a column. A jsonl row lacks cells whose key is missing.
    pub(super) fn has(&self, column: usize) -> bool {
        self.cells.iter().any(|(index, _)| *index == column)
    }

    pub(super) fn push(&mut self, column: usize, text: &str) {
        if !text.is_empty() {
            self.put(column, text);
        }
    }

    /// Adds a cell, which may be empty.
    pub(super) fn put(&mut self, column: usize, text: &str) {
        self.cells.push((column, text.to_owned()));
    }
}

/// Returns the index after `column`.
///
/// # Errors
/// [`DataProblem::TooManyColumns`] if a table may not have another column.
pub(super) fn next_column(lines: &Lines<'_>, column: usize) -> Result<usize> {
    if column == MOST_COLUMNS {
        return Err(lines.error_at(lines.number(), DataProblem::TooManyColumns { most: MOST_COLUMNS }));
    }
    Ok(column + 1)
}
