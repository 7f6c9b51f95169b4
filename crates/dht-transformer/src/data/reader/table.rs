//! All rows of a file in memory: csv, tsv and jsonl.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::csv::{csv_row, declared_separator, separator_of};
use super::json::{parse_object, string};
use super::lines::Lines;
use super::request::TableRequest;
use super::row::{MOST_COLUMNS, Row};
use super::tsv::{opens_quote, other_width, read_quoted_lines, unquoted_tsv_row};
use crate::data::reading::TableFormat;
use crate::error::{DataProblem, Result};

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
    /// Separator of the columns of a csv file, if it is not the comma.
    pub(crate) separator: Option<char>,
    /// Files of a table in parts, and the index of the first row of each.
    pub(crate) parts: Vec<(usize, PathBuf)>,
}

impl Table {
    pub(crate) fn read(lines: &mut Lines<'_>, format: TableFormat, request: &TableRequest) -> Result<Self> {
        let mut table = Table::default();
        match format {
            TableFormat::Csv => table.read_csv(lines, request)?,
            TableFormat::Tsv => table.read_separated(lines, unquoted_tsv_row, None)?,
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

    fn read_csv(&mut self, lines: &mut Lines<'_>, request: &TableRequest) -> Result<()> {
        let Some(first) = lines.next_filled_line()? else { return Ok(()) };
        let declared = declared_separator(&first);
        let names: Vec<&str> = request.names().collect();
        let separator = request.separator.or(declared).unwrap_or_else(|| separator_of(&first, &names));
        self.separator = Some(separator).filter(|separator| *separator != ',');
        let first = Some(first).filter(|_| declared.is_none());
        self.read_separated(lines, |lines, line, row| csv_row(lines, line, row, separator), Some(first))
    }

    /// Reads rows. Those of csv begin with a line that was read before, unless it declared the separator.
    fn read_separated(
        &mut self,
        lines: &mut Lines<'_>,
        parse: impl Fn(&mut Lines<'_>, String, &mut Row) -> Result<usize>,
        first_of_csv: Option<Option<String>>,
    ) -> Result<()> {
        let is_tsv = first_of_csv.is_none();
        let mut first = first_of_csv.flatten();
        loop {
            let next = match first.take() {
                Some(line) => Some(line),
                None => lines.next_filled_line()?,
            };
            let Some(line) = next else { return Ok(()) };
            let mut row = Row::at(lines.number());
            if self.width == 0 {
                check_first_line(lines, &line, is_tsv)?;
            }
            let mut width = parse(lines, line, &mut row)?;
            if is_tsv && !self.rows.is_empty() && opens_quote(&row, self.width, width) {
                width = read_quoted_lines(lines, &mut row, width, self.width)?;
            }
            if self.rows.is_empty() {
                self.width = width;
            } else if width != self.width {
                let problem = match self.other_separator(&row) {
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
    }

    /// Separator other than the comma that occurs equally often in all earlier rows and in `row`. The commas are then
    /// parts of texts.
    fn other_separator(&self, row: &Row) -> Option<&'static str> {
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
