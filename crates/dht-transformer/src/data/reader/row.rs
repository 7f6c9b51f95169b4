//! One row of cells.

use super::lines::Lines;
use crate::error::{DataProblem, Result};

/// Maximum number of columns of a table.
pub(super) const MOST_COLUMNS: usize = 1024;

/// Stands between the labels of a row that were a list. No text contains it.
pub(super) const BETWEEN: char = '\u{1f}';

/// One row. Empty cells of csv and tsv rows are omitted, so a row costs no more memory than its text.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// First physical line of the row, counted from 1.
    pub(crate) line: u64,
    /// Cells with their columns.
    pub(super) cells: Vec<(usize, String)>,
}

impl Row {
    /// Creates an empty row that begins on this line.
    pub(super) fn at(line: u64) -> Self {
        Self { line, cells: Vec::new() }
    }

    /// Cell, trimmed; empty if the row lacks it.
    pub(crate) fn cell(&self, column: usize) -> &str {
        self.raw(column).trim()
    }

    /// Cell as written; empty if the row lacks it.
    pub(crate) fn raw(&self, column: usize) -> &str {
        self.cells.iter().find(|(index, _)| *index == column).map_or("", |(_, text)| text.as_str())
    }

    /// Cell that is not empty, to be changed.
    pub(super) fn cell_mut(&mut self, column: usize) -> Option<&mut String> {
        self.cells.iter_mut().find(|(index, text)| *index == column && !text.trim().is_empty()).map(|(_, text)| text)
    }

    /// Returns whether all cells are blank.
    pub(super) fn is_blank(&self) -> bool {
        self.cells.iter().all(|(_, text)| text.trim().is_empty())
    }

    /// Returns whether a jsonl row has the key of a column.
    pub(super) fn has(&self, column: usize) -> bool {
        self.cells.iter().any(|(index, _)| *index == column)
    }

    pub(super) fn push(&mut self, column: usize, text: &str) {
        if !text.is_empty() {
            self.put(column, text);
        }
    }

    /// Adds a cell that may be empty.
    pub(super) fn put(&mut self, column: usize, text: &str) {
        self.cells.push((column, text.to_owned()));
    }
}

/// Number of the column after `column`.
///
/// # Errors
/// [`DataProblem::TooManyColumns`].
pub(super) fn next_column(lines: &Lines<'_>, column: usize) -> Result<usize> {
    if column == MOST_COLUMNS {
        return Err(lines.error_at(lines.number(), DataProblem::TooManyColumns { most: MOST_COLUMNS }));
    }
    Ok(column + 1)
}
