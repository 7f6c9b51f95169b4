//! Table of rows in memory, read from csv, tsv, jsonl or fastText files.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::csv::{csv_row, declared_separator, separator_of};
use super::json::{parse_object, string};
use super::lines::Lines;
use super::names::{CATEGORIES, LABEL, is_called, is_one_of};
use super::request::TableRequest;
use super::row::{BETWEEN, MOST_COLUMNS, Row};
use super::tsv::{opens_quote, other_width, read_quoted_lines, unquoted_tsv_row};
use crate::data::reading::{Column, TableFormat};
use crate::error::{DataProblem, Result};

/// Rows of one or more files in memory. If the files have a header, the first row is the header.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
    pub(crate) width: usize,
    /// Number of blank lines and blank rows that were skipped.
    pub(crate) blank_lines: usize,
    /// Keys of a jsonl file, in the order in which they first occur, or column names of a parquet file. `None` for
    /// other files.
    pub(crate) keys: Option<Vec<String>>,
    /// Columns with an array or an object in some cell, each with the line number of the first such cell.
    pub(crate) nested: BTreeMap<usize, u64>,
    /// First number, first string and first truth value in each column of a jsonl file. They reveal columns that mix
    /// types.
    pub(crate) values: BTreeMap<usize, [Option<String>; 3]>,
    /// Type names of those parquet columns that cannot be read, by column index. The columns are also in `nested`.
    pub(crate) types: BTreeMap<usize, String>,
    /// Class names that a parquet file stores for columns of class numbers.
    pub(crate) classes: BTreeMap<usize, Vec<String>>,
    /// Columns whose cells hold several labels, separated by [`BETWEEN`](super::row::BETWEEN).
    pub(crate) lists: BTreeSet<usize>,
    /// Column separator of a csv file; `None` for a comma.
    pub(crate) separator: Option<char>,
    /// Encoding of the file; `None` for UTF-8.
    pub(crate) encoding: Option<String>,
    /// Paths of the files, if the table was read from several files.
    pub(crate) parts: Vec<PathBuf>,
    pub(crate) is_parquet: bool,
    /// State of the random sampling of rows; `None` if all rows are stored.
    pub(crate) draw: Option<Draw>,
}

/// Random sample of rows in which each row is equally likely (reservoir sampling). The first row, which may be a
/// header, is sampled only after the last row is read.
#[derive(Debug)]
pub(crate) struct Draw {
    most: usize,
    rng: ChaCha8Rng,
    /// Number of rows read so far, not counting the first row.
    pub(crate) seen: usize,
}

impl Draw {
    pub(super) fn new((most, seed): (usize, u64)) -> Self {
        Self { most, rng: ChaCha8Rng::seed_from_u64(seed), seen: 0 }
    }
}

/// Number of low bits of [`Row::line`] that hold the line number. The higher bits hold the index of the file.
pub(super) const PART: u32 = 40;

impl Table {
    pub(crate) fn read(lines: &mut Lines<'_>, format: TableFormat, request: &TableRequest) -> Result<Self> {
        let mut table = Table { draw: request.most_rows.map(Draw::new), ..Table::default() };
        match format {
            TableFormat::Csv => table.read_csv(lines, request)?,
            TableFormat::Tsv if request.separator.is_some_and(|sign| sign != '\t') => table.read_csv(lines, request)?,
            TableFormat::Tsv => table.read_separated(lines, unquoted_tsv_row, None)?,
            TableFormat::JsonLines => table.read_json_lines(lines, request)?,
            TableFormat::FastText => table.read_fast_text(lines)?,
            // Parquet files have no lines, and a directory is not a file.
            TableFormat::Parquet | TableFormat::Folders => return Err(lines.error_at(1, DataProblem::Binary)),
        }
        table.blank_lines += lines.blank_lines();
        table.encoding = lines.encoding().map(|encoding| encoding.to_string());
        Ok(table)
    }

    /// Adds a row to the table. If rows are sampled at random, the new row may be dropped, or replace another row. The
    /// first row always stays, since it may be a header.
    pub(super) fn add(&mut self, row: Row) {
        let Some(draw) = self.draw.as_mut().filter(|_| !self.rows.is_empty()) else { return self.rows.push(row) };
        draw.seen += 1;
        if draw.seen <= draw.most {
            return self.rows.push(row);
        }
        let at = draw.rng.random_range(0..draw.seen);
        if at < draw.most {
            self.rows[1 + at] = row;
        }
    }

    /// Finishes random sampling, and sorts the sampled rows in the order of the file. If the first row is not a header,
    /// it is first sampled like the other rows. Returns the number of rows in the whole file, or `None` if all rows
    /// were stored.
    pub(super) fn end_draw(&mut self, has_header: bool) -> Option<usize> {
        let mut draw = self.draw.take()?;
        let all = draw.seen + usize::from(!has_header);
        if all <= draw.most {
            return None;
        }
        if !has_header {
            let first = self.rows.remove(0);
            let at = draw.rng.random_range(0..all);
            if at < draw.most {
                self.rows[at] = first;
            }
        }
        self.rows[usize::from(has_header)..].sort_by_key(|row| row.line);
        Some(all)
    }

    /// Decodes [`Row::line`] in a table of several files: returns the file and the line number within it.
    pub(crate) fn origin(&self, line: u64) -> (Option<&Path>, u64) {
        let part = usize::try_from(line >> PART).unwrap_or(usize::MAX);
        (self.parts.get(part).map(PathBuf::as_path), line & ((1 << PART) - 1))
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

    /// Reads the rows of a csv or tsv file. `first_of_csv` is `None` for tsv. For csv, it is the first line, which the
    /// caller has already read. It is `Some(None)` if the first line only declares the separator, as `sep=;` does.
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
            } else if width != self.width && !row.is_blank() {
                let problem = match self.other_separator(&row) {
                    Some(found) if !is_tsv => {
                        DataProblem::Encoding { found, instead: "name the separator, or separate the cells by commas" }
                    }
                    _ => other_width(&row, self.width, width),
                };
                return Err(lines.error_at(row.line, problem));
            }
            // Spreadsheets write rows that consist of separators, and editors write lines of tabs.
            if row.is_blank() {
                self.blank_lines += 1;
            } else {
                self.add(row);
            }
        }
    }

    /// Guesses the true separator of a csv file from a row with a wrong number of columns. Returns a character that
    /// occurs equally often in this row and in each earlier row. The commas are then probably parts of texts.
    fn other_separator(&self, row: &Row) -> Option<&'static str> {
        let count = |row: &Row, sign: char| row.cells.iter().map(|(_, cell)| cell.matches(sign).count()).sum::<usize>();
        let signs = [(';', "cells separated by ;"), ('\t', "cells separated by tabs"), ('|', "cells separated by |")];
        let alike =
            |sign: char| count(row, sign) > 0 && self.rows.iter().all(|own| count(own, sign) == count(row, sign));
        signs.into_iter().find(|(sign, _)| alike(*sign)).map(|(_, separated)| separated)
    }

    /// Reads a file in fastText's format into a column of labels and a column of texts.
    fn read_fast_text(&mut self, lines: &mut Lines<'_>) -> Result<()> {
        while let Some(line) = lines.next_filled_line()? {
            if line.trim_end_matches('\r').contains('\r') {
                return Err(lines.error_at(lines.number(), DataProblem::CarriageReturns));
            }
            let (labels, text) = split_labels(&line);
            if labels.is_empty() {
                let is_first = self.rows.is_empty();
                let problem = if is_first { DataProblem::NoFastTextLabel } else { DataProblem::EmptyLabel };
                return Err(lines.error_at(lines.number(), problem));
            }
            let mut row = Row::at(lines.number());
            row.put(0, &labels.join(&BETWEEN.to_string()));
            row.put(1, &text);
            self.add(row);
        }
        self.keys = Some(["label", "text"].map(String::from).to_vec());
        (self.width, self.lists) = (2, BTreeSet::from([0]));
        Ok(())
    }

    fn read_json_lines(&mut self, lines: &mut Lines<'_>, request: &TableRequest) -> Result<()> {
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
                        if may_be_label(&keys[column], request) {
                            row.put(column, text);
                        }
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
            self.add(row);
        }
        self.width = keys.len();
        self.keys = Some(keys);
        Ok(())
    }
}

/// Returns whether a column may be the label column, by its name and the caller's request.
pub(super) fn may_be_label(name: &str, request: &TableRequest) -> bool {
    match &request.label {
        Some(Column::Name(label)) => is_called(name, label.trim()),
        _ => is_one_of(name, &LABEL) || is_called(name, CATEGORIES),
    }
}

/// First bytes of a Git LFS pointer, a small text file that Git LFS checks out in place of a large file.
pub(super) const POINTER: &[u8; 23] = b"version https://git-lfs";

pub(super) fn pointer() -> DataProblem {
    DataProblem::Encoding { found: "a pointer of Git LFS", instead: "fetch the file itself by `git lfs pull`" }
}

/// Prefix of a label in fastText's format.
pub(super) const FAST_TEXT: &str = "__label__";

/// Splits a line in fastText's format into its labels and its text.
pub(super) fn split_labels(line: &str) -> (Vec<&str>, Cow<'_, str>) {
    if !line.contains(FAST_TEXT) {
        return (Vec::new(), line.into());
    }
    let (labels, words): (Vec<&str>, Vec<&str>) =
        line.split([' ', '\t', '\r']).filter(|word| !word.is_empty()).partition(|word| word.starts_with(FAST_TEXT));
    // Commas after labels, and labels without a space between them, are read as several labels.
    let labels = labels.into_iter().flat_map(|word| word.split(FAST_TEXT)).map(|label| label.trim_end_matches(','));
    (labels.filter(|label| !label.is_empty()).collect(), words.join(" ").into())
}

/// Refuses a file whose first line contains carriage returns outside of quotes, or is a JSON object or a Git LFS
/// pointer. Also refuses a tsv file if all cells of this line are quoted: in tsv, the quotes would become part of
/// names, labels and texts.
pub(super) fn check_first_line(lines: &Lines<'_>, line: &str, is_tsv: bool) -> Result<()> {
    let line = line.trim_end_matches('\r');
    let quoted = |cell: &str| cell.len() > 1 && cell.starts_with('"') && cell.ends_with('"');
    if line.split('"').step_by(2).any(|outside| outside.contains('\r')) {
        return Err(lines.error_at(lines.number(), DataProblem::CarriageReturns));
    }
    if line.as_bytes().starts_with(POINTER) {
        return Err(lines.error_at(lines.number(), pointer()));
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
