//! Rows of cells, and how csv, tsv and jsonl are read into them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{self, Deserializer as _, MapAccess, Visitor};

use super::lines::{LONGEST_ROW, Lines};
use crate::error::{DataProblem, Result};

/// The most columns a table may have.
pub(super) const MOST_COLUMNS: usize = 1024;

/// How a data set's rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated, quoted as in RFC 4180: a field with a comma, a quote or a line end stands in double quotes,
    /// and a quote inside is doubled.
    Csv,
    /// Tab-separated without quoting, as in GLUE: a quote is a letter like any other.
    Tsv,
    /// One JSON object a line.
    JsonLines,
    /// Columns in compressed pages.
    Parquet,
}

/// One row. Empty cells are left out, so that a row costs no more memory than its text.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// The physical line it begins on, counted from 1.
    pub(crate) line: u64,
    cells: Vec<(usize, String)>,
}

impl Row {
    /// An empty row that begins on this line.
    pub(super) fn at(line: u64) -> Self {
        Self { line, cells: Vec::new() }
    }

    /// A cell, trimmed; empty when the row lacks it.
    pub(crate) fn cell(&self, column: usize) -> &str {
        self.cells.iter().find(|(index, _)| *index == column).map_or("", |(_, text)| text.as_str())
    }

    pub(super) fn push(&mut self, column: usize, text: &str) {
        let text = text.trim();
        if !text.is_empty() {
            self.cells.push((column, text.to_owned()));
        }
    }
}

/// All rows of a file, the header (if any) among them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
    /// How many columns there are.
    pub(crate) width: usize,
    /// The keys of a jsonl file, in the order of their first appearance; the columns of a parquet file.
    pub(crate) keys: Option<Vec<String>>,
    /// Columns of a jsonl file that hold an array or an object, and the first line where they do.
    pub(crate) nested: BTreeMap<usize, u64>,
    /// Columns of a parquet file that are neither texts nor numbers (all of them are in `nested`), and what they are.
    pub(crate) types: BTreeMap<usize, String>,
    /// Columns of a parquet file that number classes, and the names of those.
    pub(crate) classes: BTreeMap<usize, Vec<String>>,
    /// The files of a table in parts, and the index of the first row of each.
    pub(crate) parts: Vec<(usize, PathBuf)>,
}

impl Table {
    pub(crate) fn read(lines: &mut Lines<'_>, format: Format) -> Result<Self> {
        let mut table = Table::default();
        match format {
            Format::Csv => table.read_separated(lines, csv_row)?,
            Format::Tsv => table.read_separated(lines, tsv_row)?,
            Format::JsonLines => table.read_json_lines(lines)?,
            // Not made of lines; it is read in parts.
            Format::Parquet => return Err(lines.error_at(1, DataProblem::Binary)),
        }
        Ok(table)
    }

    /// The file that a row comes from, in a table of parts.
    pub(crate) fn part_of(&self, row: usize) -> Option<&Path> {
        self.parts.iter().rev().find(|(first, _)| *first <= row).map(|(_, path)| path.as_path())
    }

    fn read_separated(
        &mut self,
        lines: &mut Lines<'_>,
        parse: fn(&mut Lines<'_>, String, &mut Row) -> Result<usize>,
    ) -> Result<()> {
        while let Some(line) = next_filled_line(lines)? {
            let mut row = Row::at(lines.number());
            let width = parse(lines, line, &mut row)?;
            if self.rows.is_empty() {
                self.width = width;
            } else if width != self.width {
                return Err(lines.error_at(row.line, DataProblem::ColumnCount { expected: self.width, got: width }));
            }
            self.rows.push(row);
        }
        Ok(())
    }

    fn read_json_lines(&mut self, lines: &mut Lines<'_>) -> Result<()> {
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut keys = Vec::new();
        while let Some(line) = next_filled_line(lines)? {
            let number = lines.number();
            let object = parse_object(&line)
                .map_err(|error| lines.error_at(number, DataProblem::NotJson { message: error.to_string() }))?;
            let mut row = Row::at(number);
            for (key, value) in object {
                let column = match places.get(&key) {
                    Some(&column) => column,
                    None if keys.len() == MOST_COLUMNS => {
                        return Err(lines.error_at(number, DataProblem::TooManyColumns { most: MOST_COLUMNS }));
                    }
                    None => {
                        places.insert(key.clone(), keys.len());
                        keys.push(key);
                        keys.len() - 1
                    }
                };
                match value {
                    serde_json::Value::Null => {}
                    serde_json::Value::String(text) => row.push(column, &text),
                    serde_json::Value::Bool(_) | serde_json::Value::Number(_) => row.push(column, &value.to_string()),
                    serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
                        self.nested.entry(column).or_insert(number);
                    }
                }
            }
            self.rows.push(row);
        }
        self.width = keys.len();
        self.keys = Some(keys);
        Ok(())
    }
}

/// The next line that is not blank.
pub(super) fn next_filled_line(lines: &mut Lines<'_>) -> Result<Option<String>> {
    while let Some(line) = lines.next_line()? {
        if !line.trim_end_matches('\r').is_empty() {
            return Ok(Some(line));
        }
    }
    Ok(None)
}

/// Splits at tabs; the number of columns.
pub(super) fn tsv_row(lines: &mut Lines<'_>, line: String, row: &mut Row) -> Result<usize> {
    let mut width = 0;
    for cell in line.split('\t') {
        row.push(width, cell);
        width = next_column(lines, width)?;
    }
    Ok(width)
}

/// Splits at commas outside of quotes, reading on while a quote is open; the number of columns.
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
                return Err(lines.error_at(begins, DataProblem::StrayQuote { column: width }));
            }
            row.push(width, cell);
            start += length;
        }
        let column = width;
        width = next_column(lines, width)?;
        match &line[start..] {
            "" | "\r" => return Ok(width),
            rest if rest.starts_with(',') => start += 1,
            _ => return Err(lines.error_at(lines.number(), DataProblem::StrayQuote { column })),
        }
    }
}

fn next_column(lines: &Lines<'_>, column: usize) -> Result<usize> {
    if column == MOST_COLUMNS {
        return Err(lines.error_at(lines.number(), DataProblem::TooManyColumns { most: MOST_COLUMNS }));
    }
    Ok(column + 1)
}

/// The members of a JSON object in their order; a key that comes twice is an error.
pub(super) fn parse_object(line: &str) -> serde_json::Result<Vec<(String, serde_json::Value)>> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, serde_json::Value)>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            let mut seen = std::collections::BTreeSet::new();
            while let Some((key, value)) = map.next_entry::<String, serde_json::Value>()? {
                if !seen.insert(key.clone()) {
                    return Err(de::Error::custom(format!("the key {key:?} comes twice")));
                }
                members.push((key, value));
            }
            Ok(members)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(line);
    let members = deserializer.deserialize_map(Members)?;
    deserializer.end()?;
    Ok(members)
}
