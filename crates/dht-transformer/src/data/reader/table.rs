//! Rows of cells, and parsers of csv, tsv and jsonl rows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::json::{parse_object, string};
use super::lines::{LONGEST_ROW, Lines};
use crate::data::reading::TableFormat;
use crate::error::{DataProblem, Result};

/// Maximum number of columns of a table.
pub(super) const MOST_COLUMNS: usize = 1024;

/// One row. Empty cells of csv and tsv rows are omitted, so a row costs no more memory than its text.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// First physical line of the row, counted from 1.
    pub(crate) line: u64,
    cells: Vec<(usize, String)>,
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

    /// Returns whether all cells are blank.
    fn is_blank(&self) -> bool {
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
    fn put(&mut self, column: usize, text: &str) {
        self.cells.push((column, text.to_owned()));
    }
}

/// All rows of a file, including the header (if any).
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
    /// Number of columns.
    pub(crate) width: usize,
    /// Number of skipped blank lines and rows of blank cells.
    pub(crate) blank_lines: usize,
    /// Keys of a jsonl file, in the order of their first appearance; columns of a parquet file.
    pub(crate) keys: Option<Vec<String>>,
    /// Columns of a jsonl file that hold an array or an object, each with the first such line.
    pub(crate) nested: BTreeMap<usize, u64>,
    /// First number, first string and first truth value of each column of a jsonl file.
    pub(crate) values: BTreeMap<usize, [Option<String>; 3]>,
    /// Columns of a parquet file that are neither texts nor numbers, with their types; they are in `nested`, too.
    pub(crate) types: BTreeMap<usize, String>,
    /// Numbered class columns of a parquet file, and the class names.
    pub(crate) classes: BTreeMap<usize, Vec<String>>,
    /// Files of a table in parts, and the index of the first row of each.
    pub(crate) parts: Vec<(usize, PathBuf)>,
}

impl Table {
    pub(crate) fn read(lines: &mut Lines<'_>, format: TableFormat) -> Result<Self> {
        let mut table = Table::default();
        match format {
            TableFormat::Csv => table.read_separated(lines, csv_row, false)?,
            TableFormat::Tsv => table.read_separated(lines, unquoted_tsv_row, true)?,
            TableFormat::JsonLines => table.read_json_lines(lines)?,
            // Parquet has no lines; it is read in parts.
            TableFormat::Parquet => return Err(lines.error_at(1, DataProblem::Binary)),
        }
        table.blank_lines += lines.blank_lines();
        Ok(table)
    }

    /// File that a row comes from, in a table of parts.
    pub(crate) fn part_of(&self, row: usize) -> Option<&Path> {
        self.parts.iter().rev().find(|(first, _)| *first <= row).map(|(_, path)| path.as_path())
    }

    fn read_separated(
        &mut self,
        lines: &mut Lines<'_>,
        parse: fn(&mut Lines<'_>, String, &mut Row) -> Result<usize>,
        is_tsv: bool,
    ) -> Result<()> {
        while let Some(line) = lines.next_filled_line()? {
            let mut row = Row::at(lines.number());
            if self.width == 0 {
                check_first_line(lines, &line, is_tsv)?;
            }
            let mut width = parse(lines, line, &mut row)?;
            if is_tsv && !self.rows.is_empty() && opens_quote(&row, self.width, width) {
                width = read_quoted_lines(lines, &mut row, (width, self.width))?;
            }
            if self.rows.is_empty() {
                self.width = width;
            } else if width != self.width {
                let problem = match self.separator_of(&row) {
                    Some(found) if !is_tsv => DataProblem::Encoding { found, instead: "separate the cells by commas" },
                    _ => other_width(&row, self.width, width),
                };
                return Err(lines.error_at(row.line, problem));
            }
            // Spreadsheets write rows of only separators.
            if row.is_blank() {
                self.blank_lines += 1;
            } else {
                self.rows.push(row);
            }
        }
        Ok(())
    }

    /// Separator other than the comma that occurs equally often in all earlier rows and in `row`. The commas are then
    /// parts of texts.
    fn separator_of(&self, row: &Row) -> Option<&'static str> {
        let count = |row: &Row, sign: char| row.cells.iter().map(|(_, cell)| cell.matches(sign).count()).sum::<usize>();
        let signs = [(';', "cells separated by ;"), ('\t', "cells separated by tabs"), ('|', "cells separated by |")];
        let alike =
            |sign: char| count(row, sign) > 0 && self.rows.iter().all(|own| count(own, sign) == count(row, sign));
        signs.into_iter().find(|(sign, _)| alike(*sign)).map(|(_, found)| found)
    }

    fn read_json_lines(&mut self, lines: &mut Lines<'_>) -> Result<()> {
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut keys = Vec::new();
        while let Some(line) = lines.next_filled_line()? {
            let number = lines.number();
            let failed = |problem| lines.error_at(number, problem);
            let mut row = Row::at(number);
            for (key, value) in parse_object(&line).map_err(failed)? {
                let column = match places.get(&key) {
                    Some(&column) => column,
                    None if keys.len() == MOST_COLUMNS => {
                        return Err(failed(DataProblem::TooManyColumns { most: MOST_COLUMNS }));
                    }
                    None => {
                        places.insert(key.clone(), keys.len());
                        keys.push(key);
                        keys.len() - 1
                    }
                };
                let text = value.get();
                let kind = match text.as_bytes().first() {
                    Some(b'"') => 1,
                    Some(b't' | b'f') => 2,
                    _ => 0,
                };
                match text.as_bytes().first() {
                    Some(b'"') => row.put(column, &string(&value).map_err(failed)?),
                    Some(b'[' | b'{') => {
                        self.nested.entry(column).or_insert(number);
                        continue;
                    }
                    Some(b'n') => {
                        row.put(column, "");
                        continue;
                    }
                    _ => row.put(column, text),
                }
                let first = &mut self.values.entry(column).or_default()[kind];
                first.get_or_insert_with(|| text.to_owned());
            }
            self.rows.push(row);
        }
        self.width = keys.len();
        self.keys = Some(keys);
        Ok(())
    }
}

/// Refuses a first line with carriage returns outside of quotes (all rows in one line), a JSON object, and a tsv line
/// with quotes around several cells. Such quotes would remain around names, labels and texts.
pub(super) fn check_first_line(lines: &Lines<'_>, line: &str, is_tsv: bool) -> Result<()> {
    let line = line.trim_end_matches('\r');
    let quoted = |cell: &str| cell.len() > 1 && cell.starts_with('"') && cell.ends_with('"');
    if line.split('"').step_by(2).any(|outside| outside.contains('\r')) {
        return Err(lines.error_at(lines.number(), DataProblem::CarriageReturns));
    }
    if line.starts_with('{') && parse_object(line).is_ok() {
        let instead = "give its name the ending .jsonl";
        return Err(lines.error_at(lines.number(), DataProblem::Encoding { found: "jsonl", instead }));
    }
    if is_tsv && line.contains('\t') && line.split('\t').all(quoted) {
        return Err(lines.error_at(lines.number(), DataProblem::QuotedTsv));
    }
    Ok(())
}

/// Splits at tabs; returns the number of columns.
pub(super) fn tsv_row(lines: &mut Lines<'_>, line: String, row: &mut Row) -> Result<usize> {
    let mut width = 0;
    for cell in line.strip_suffix('\r').unwrap_or(&line).split('\t') {
        row.push(width, cell);
        width = next_column(lines, width)?;
    }
    Ok(width)
}

/// Splits at tabs as [`tsv_row`], and removes the quotes that programs write around cells with quotes in them.
fn unquoted_tsv_row(lines: &mut Lines<'_>, line: String, row: &mut Row) -> Result<usize> {
    let width = tsv_row(lines, line, row)?;
    for (_, cell) in &mut row.cells {
        if let Cow::Owned(unquoted) = unquoted(cell) {
            *cell = unquoted;
        }
    }
    Ok(width)
}

/// Content of a tsv cell that is quoted as in csv: in quotes, with at least one inner quote, and all inner quotes
/// doubled. Other cells do not change, since a quote is an ordinary character there.
pub(super) fn unquoted(cell: &str) -> Cow<'_, str> {
    let inner = cell.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner.filter(|inner| inner.contains("\"\"") && !inner.replace("\"\"", "").contains('"')) {
        Some(inner) => inner.replace("\"\"", "\"").into(),
        None => cell.into(),
    }
}

/// Problem of a row with a wrong number of columns.
pub(super) fn other_width(row: &Row, expected: usize, got: usize) -> DataProblem {
    match opens_quote(row, expected, got) {
        true => DataProblem::OpenQuote { column: got - 1 },
        false => DataProblem::ColumnCount { expected, got },
    }
}

/// Returns whether a row is too short and its last cell opens a quote that its line does not close.
pub(super) fn opens_quote(row: &Row, expected: usize, got: usize) -> bool {
    let last = row.cell(got.saturating_sub(1));
    got < expected && last.starts_with('"') && !last[1..].contains('"')
}

/// Reads lines until the open quote of the last of `got` cells is closed and the row has `expected` cells. Python's csv
/// module writes tsv cells with line ends in this form. Stores the cells in the row without that quote, and returns
/// their number.
///
/// # Errors
/// [`DataProblem::OpenQuote`] if no later line does both; the row is then too short.
pub(super) fn read_quoted_lines(
    lines: &mut Lines<'_>,
    row: &mut Row,
    (got, expected): (usize, usize),
) -> Result<usize> {
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

/// Splits at commas outside of quotes, reading more lines while a quote is open; returns the number of columns.
pub(super) fn csv_row(lines: &mut Lines<'_>, first: String, row: &mut Row) -> Result<usize> {
    let mut line = first;
    let mut start = 0;
    let mut width = 0;
    let mut quoted = String::new();
    loop {
        let begins = lines.number();
        if line[start..].starts_with('"') {
            quoted.clear();
            start += 1;
            loop {
                match line[start..].find('"') {
                    Some(length) => {
                        quoted.push_str(&line[start..start + length]);
                        start += length + 1;
                        if !line[start..].starts_with('"') {
                            break;
                        }
                        quoted.push('"');
                        start += 1;
                    }
                    None => {
                        quoted.push_str(&line[start..]);
                        quoted.push('\n');
                        if quoted.len() > LONGEST_ROW {
                            return Err(lines.error_at(begins, DataProblem::RowTooLong { most: LONGEST_ROW }));
                        }
                        line = lines.next_line()?.ok_or_else(|| lines.error_at(begins, DataProblem::UnclosedQuote))?;
                        start = 0;
                    }
                }
            }
            row.push(width, &quoted);
        } else {
            let length = line[start..].find(',').unwrap_or(line.len() - start);
            let cell = &line[start..start + length];
            if cell.contains('"') {
                let before = cell.split('"').next().and_then(|before| before.chars().last());
                let cause = match cell.trim_start().starts_with('"') {
                    true => "remove the space before the quote that opens the field",
                    false => beside_a_quote(before).unwrap_or("put the field in quotes, and double each quote inside"),
                };
                return Err(lines.error_at(begins, DataProblem::StrayQuote { column: width, cause }));
            }
            let ends = start + length == line.len();
            row.push(width, cell.strip_suffix('\r').filter(|_| ends).unwrap_or(cell));
            start += length;
        }
        let column = width;
        width = next_column(lines, width)?;
        match &line[start..] {
            "" | "\r" => return Ok(width),
            rest if rest.starts_with(',') => start += 1,
            _ => {
                let after = line[start..].chars().next();
                let usual = match begins == lines.number() {
                    true => "double each quote inside a quoted field",
                    // The opening quote of a later row has closed it.
                    false => "the field that opens here runs over several lines; close it, or double each quote inside",
                };
                let cause = match quoted.ends_with('\\') {
                    true => "write a quote inside a quoted field as two quotes, without a backslash",
                    false => beside_a_quote(after).unwrap_or(usual),
                };
                return Err(lines.error_at(begins, DataProblem::StrayQuote { column, cause }));
            }
        }
    }
}

/// Correction for a character beside a quote that looks like the separator of the file.
fn beside_a_quote(sign: Option<char>) -> Option<&'static str> {
    match sign {
        Some(';') => Some("separate columns by commas, not by ';'"),
        Some('\t') => Some("separate columns by commas, not by tabs, or name the file .tsv"),
        Some('|') => Some("separate columns by commas, not by '|'"),
        _ => None,
    }
}

fn next_column(lines: &Lines<'_>, column: usize) -> Result<usize> {
    if column == MOST_COLUMNS {
        return Err(lines.error_at(lines.number(), DataProblem::TooManyColumns { most: MOST_COLUMNS }));
    }
    Ok(column + 1)
}
