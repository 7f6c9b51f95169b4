//! Stream of texts to predict, which may have no labels, read row by row.

mod columns;
mod format;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use self::columns::FileColumns;
pub use self::columns::TextColumns;
pub use self::format::TextFormat;
use super::cells::is_missing;
use super::coding::Compression;
use super::csv::{csv_row, declared_separator, separator_of};
use super::header::is_header_again;
use super::json::{Member, parse_object, string};
use super::lines::Lines;
use super::names::is_known;
use super::row::Row;
use super::table::{FAST_TEXT, Table, check_first_line, split_labels};
use super::text::joined;
use super::tsv::{opens_quote, other_width, read_quoted_lines, tsv_row, unquoted};
use crate::data::dataset::Example;
use crate::data::reading::Reading;
use crate::error::{DataProblem, Error, Result};

const LOOK_AHEAD: usize = 100;

/// Text to predict (or text pair), with the input row that contains it.
#[derive(Debug, Clone)]
pub struct TextRow {
    /// Number of the line on which the row begins, counted from 1.
    pub line: u64,
    /// Text, or first text of a pair, [normalised](Example::clean_text). It may be empty.
    pub text: String,
    /// Second text of a pair; `None` for a single text.
    pub pair: Option<String>,
    /// Input row as it was read, for output formats that repeat the input.
    pub given: Given,
}

impl TextRow {
    /// Returns whether the text is missing: empty, or a word that usually stands for a missing value, such as `NaN`. In
    /// a pair, both texts must be missing.
    pub fn is_missing(&self) -> bool {
        let missing = |text: &str| text.is_empty() || is_missing(text);
        missing(&self.text) && self.pair.as_deref().is_none_or(missing)
    }

    /// Returns whether the input line begins with a fastText label (`__label__…`). Such labels are removed from the
    /// text.
    pub fn has_labels(&self) -> bool {
        matches!(&self.given, Given::Line(line) if line.starts_with(FAST_TEXT))
    }

    /// Guesses whether a line that was read as plain text belongs to a table. Returns the likely table format if the
    /// line is a JSON object or contains a usual column name; `None` for any other line.
    pub fn is_of_table(&self) -> Option<TextFormat> {
        let Given::Line(line) = &self.given else { return None };
        if line.trim_start().starts_with('{') && parse_object(line).is_ok() {
            return Some(TextFormat::JsonLines);
        }
        [(',', TextFormat::Csv), ('\t', TextFormat::Tsv), (';', TextFormat::Csv)].into_iter().find_map(
            |(sign, format)| {
                let cells: Vec<&str> = line.split(sign).map(|cell| cell.trim().trim_matches('"')).collect();
                let words = cells.iter().all(|cell| !cell.contains(char::is_whitespace));
                (words && cells.iter().any(|cell| is_known(cell))).then_some(format)
            },
        )
    }
}

/// Input row as it was read, for output formats that repeat the input.
#[derive(Debug, Clone)]
pub enum Given {
    /// Line of plain text.
    Line(String),
    /// All cells of a csv or tsv row.
    Cells(Vec<String>),
    /// Keys and values of a jsonl row, in order.
    Members(Vec<(String, Box<RawValue>)>),
}

/// Row of a jsonl file: its line number and the members of its object.
type Object = (u64, Vec<Member>);

/// Reads texts to predict row by row, in bounded memory and in the order of the input.
///
/// # Examples
/// ```
/// use dht_transformer::data::{TextColumns, TextFormat, TextStream};
///
/// let file = "id,text\n7,fine food\n8,\"bad, cold food\"\n";
/// let mut rows = TextStream::new("asked.csv", file.as_bytes(), TextFormat::Csv, None, TextColumns::default())?;
/// assert_eq!(rows.names(), ["id", "text"]);
/// assert_eq!(rows.next_row()?.unwrap().text, "fine food");
/// assert_eq!(rows.next_row()?.unwrap().text, "bad, cold food");
/// assert!(rows.next_row()?.is_none());
/// # Ok::<(), dht_transformer::Error>(())
/// ```
pub struct TextStream<'a> {
    path: PathBuf,
    lines: Lines<'a>,
    format: TextFormat,
    header: Option<Row>,
    /// Number of columns of a csv or tsv file; 0 for other formats.
    width: usize,
    separator: char,
    asked: TextColumns,
    columns: FileColumns,
    /// Queue of rows that were read ahead to detect the header and the columns.
    waiting: VecDeque<Row>,
    /// First object of a jsonl file. It was read ahead, and is `None` after it is returned.
    object: Option<Object>,
}

impl<'a> TextStream<'a> {
    /// Creates a stream of the texts in `input`. `path` appears in errors. To detect the text columns of a csv, tsv or
    /// jsonl file, its first row is read immediately. With [`look_ahead`](TextColumns::look_ahead), several rows are
    /// read.
    ///
    /// # Errors
    /// [`Error::Data`] with the line number in these cases:
    ///
    /// - A requested column is missing or unknown.
    /// - The first row may be a header or data.
    /// - The bytes are not text.
    pub fn new(
        path: impl AsRef<Path>,
        input: impl Read + 'a,
        format: TextFormat,
        compression: Option<Compression>,
        columns: TextColumns,
    ) -> Result<Self> {
        let path = path.as_ref();
        // Only columns that tabs separate may be unquoted.
        let format = match columns.separator {
            Some(sign) if format == TextFormat::Tsv && sign != '\t' => TextFormat::Csv,
            _ => format,
        };
        let lines = Lines::new(path, input, compression, u64::MAX)
            .with_encoding(columns.encoding)
            .with_arrays(format == TextFormat::JsonLines);
        let lines = match format {
            TextFormat::Csv | TextFormat::Tsv => lines.with_repairs(),
            TextFormat::Lines | TextFormat::JsonLines => lines,
        };
        let mut stream = Self {
            path: path.into(),
            lines,
            format,
            header: None,
            width: 0,
            separator: ',',
            asked: columns,
            columns: FileColumns::default(),
            waiting: VecDeque::new(),
            object: None,
        };
        let asked = stream.asked.text.len();
        if stream.asked.pair && asked != 2 {
            return Err(stream.error(None, DataProblem::PairColumns { got: asked }));
        }
        match format {
            TextFormat::Lines => {}
            TextFormat::Csv | TextFormat::Tsv => stream.find_columns()?,
            TextFormat::JsonLines => stream.find_keys()?,
        }
        Ok(stream)
    }

    /// Converts a parquet file to [JSON lines](TextFormat::JsonLines), one for each row. Rows are decoded on demand.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened; [`Error::Data`] if it is not a parquet file, or the program was
    /// built without the feature `parquet`.
    pub fn lines_of_parquet(path: impl AsRef<Path>) -> Result<Box<dyn Read + Send>> {
        let path = path.as_ref();
        let file = std::fs::File::open(path).map_err(|source| Error::io(path, source))?;
        parquet_lines(file).map_err(|problem| Error::Data { path: path.into(), line: None, problem })
    }

    /// Column names of a csv or tsv file with a header; empty for other files.
    pub fn names(&self) -> &[String] {
        if self.format == TextFormat::JsonLines { &[] } else { &self.columns.names }
    }

    /// Detected header and text columns of a csv, tsv or jsonl file. The label column and the number of rows are not
    /// set. `None` for plain lines and for an empty file.
    pub fn reading(&self) -> Option<&Reading> {
        self.columns.reading.as_ref()
    }

    /// First text of a file without a header, if it looks like a column name: it is one word, and all further texts
    /// that were read ahead have several words. Callers can warn about it.
    pub fn doubtful_text(&self) -> Option<&str> {
        self.columns.doubtful.as_deref()
    }

    /// Column separator of a csv file.
    pub fn separator(&self) -> char {
        self.separator
    }

    /// Number of columns of a csv or tsv file; 0 for other formats.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Reads the next row. Returns `None` at the end of the input.
    ///
    /// # Errors
    /// Same errors as [`new`](Self::new). [`Error::Data`] with the line number also in these cases:
    ///
    /// - A row has another number of columns than the first row.
    /// - The header is repeated.
    /// - A jsonl row lacks the text.
    pub fn next_row(&mut self) -> Result<Option<TextRow>> {
        match self.format {
            TextFormat::Lines => self.next_line(),
            TextFormat::Csv | TextFormat::Tsv => self.next_cells(),
            TextFormat::JsonLines => self.next_object(),
        }
    }

    fn next_line(&mut self) -> Result<Option<TextRow>> {
        let Some(line) = self.lines.next_line()? else { return Ok(None) };
        let content = line.strip_suffix('\r').unwrap_or(&line).to_owned();
        let text = if content.starts_with(FAST_TEXT) { split_labels(&content).1 } else { content.as_str().into() };
        let (text, line) = (Example::clean_text(&text).into_owned(), self.lines.number());
        Ok(Some(TextRow { line, text, pair: None, given: Given::Line(content) }))
    }

    fn next_cells(&mut self) -> Result<Option<TextRow>> {
        let next = match self.waiting.pop_front() {
            Some(row) => Some(row),
            None => self.read_row()?,
        };
        let Some(row) = next else { return Ok(None) };
        if let Some(header) = &self.header
            && is_header_again(&row, header, self.width)
        {
            let problem = DataProblem::HeaderAgain { first: header.line };
            return Err(self.error(Some(row.line), problem));
        }
        let is_tsv = self.format == TextFormat::Tsv;
        let cell = |column: &usize| match row.raw(*column) {
            raw if is_tsv => Cow::Owned(Example::clean_text(&unquoted(raw)).into_owned()),
            raw => Example::clean_text(raw),
        };
        let (text, pair) = self.texts(self.columns.text.iter().map(cell));
        let cells = (0..self.width).map(|column| row.raw(column).to_owned()).collect();
        Ok(Some(TextRow { line: row.line, text, pair, given: Given::Cells(cells) }))
    }

    fn next_object(&mut self) -> Result<Option<TextRow>> {
        let next = match self.object.take() {
            Some(object) => Some(object),
            None => self.read_object()?,
        };
        let Some((line, members)) = next else { return Ok(None) };
        let at = |problem| self.error(Some(line), problem);
        let FileColumns { names, text, .. } = &self.columns;
        let mut parts = Vec::with_capacity(text.len());
        for key in text.iter().map(|place| &names[*place]) {
            let missing = || at(DataProblem::MissingKey { key: format!("{key:?}") });
            let (_, value) = members.iter().find(|(own, _)| own == key).ok_or_else(missing)?;
            let text = value.get();
            parts.push(match text.as_bytes().first() {
                Some(b'n') => String::new(),
                Some(b'"') => Example::clean_text(&string(value).map_err(at)?).into_owned(),
                Some(b'[' | b'{') => return Err(at(DataProblem::NestedValue { column: key.clone() })),
                _ => text.to_owned(),
            });
        }
        let (text, pair) = self.texts(parts.into_iter().map(Cow::Owned));
        Ok(Some(TextRow { line, text, pair, given: Given::Members(members) }))
    }

    /// Reads the first object of a jsonl file and selects the keys whose values are texts to predict.
    fn find_keys(&mut self) -> Result<()> {
        let Some((line, members)) = self.read_object()? else { return Ok(()) };
        let keys = members.iter().map(|(key, _)| key.clone()).collect();
        let columns = FileColumns::of_keys(keys, &self.asked);
        self.columns = columns.map_err(|problem| self.error(Some(line), problem))?;
        self.object = Some((line, members));
        Ok(())
    }

    fn read_object(&mut self) -> Result<Option<Object>> {
        let Some(content) = self.lines.next_filled_line()? else { return Ok(None) };
        let line = self.lines.number();
        let members = parse_object(&content).map_err(|problem| self.error(Some(line), problem))?;
        Ok(Some((line, members)))
    }

    /// Reads the first rows of a csv or tsv file, and detects the header and the text columns.
    fn find_columns(&mut self) -> Result<()> {
        let table = self.read_ahead()?;
        let Some(line) = table.rows.first().map(|row| row.line) else { return Ok(()) };
        let columns = FileColumns::of_table(&table, self.format, &self.asked);
        self.columns = columns.map_err(|problem| self.error(Some(line), problem))?;
        let separator = Some(self.separator).filter(|sign| *sign != ',' && self.format == TextFormat::Csv);
        self.columns.reading.iter_mut().for_each(|reading| reading.separator = separator);
        self.waiting = table.rows.into();
        if !self.columns.names.is_empty() {
            self.header = self.waiting.pop_front();
        }
        Ok(())
    }

    /// Reads the first row of a csv or tsv file, to detect the text columns. With
    /// [`look_ahead`](TextColumns::look_ahead), reads several rows.
    fn read_ahead(&mut self) -> Result<Table> {
        let mut table = Table::default();
        while table.rows.len() < if self.asked.look_ahead { LOOK_AHEAD } else { 1 } {
            match self.read_row() {
                Ok(Some(row)) => table.rows.push(row),
                Ok(None) => break,
                Err(error) if table.rows.is_empty() => return Err(error),
                // The error is returned after the rows before it.
                Err(error) => {
                    self.lines.fail(error);
                    break;
                }
            }
        }
        table.width = self.width;
        Ok(table)
    }

    /// Reads the next row of a csv or tsv file, and checks that it has the same number of columns as the first row.
    fn read_row(&mut self) -> Result<Option<Row>> {
        loop {
            let row = self.read_any_row()?;
            if row.as_ref().is_none_or(|(row, width)| *width == self.width || !row.is_blank()) {
                let checked = |(row, width): (Row, usize)| match width == self.width {
                    true => Ok(row),
                    false => Err(self.error(Some(row.line), other_width(&row, self.width, width))),
                };
                return row.map(checked).transpose();
            }
        }
    }

    /// Reads the next row of a csv or tsv file. Returns the row and its number of columns.
    fn read_any_row(&mut self) -> Result<Option<(Row, usize)>> {
        let Some(mut line) = self.lines.next_filled_line()? else { return Ok(None) };
        if self.width == 0 {
            let is_csv = self.format == TextFormat::Csv;
            let declared = declared_separator(&line).filter(|_| is_csv);
            if declared.is_some() {
                let Some(next) = self.lines.next_filled_line()? else { return Ok(None) };
                line = next;
            }
            check_first_line(&self.lines, &line, !is_csv)?;
            let names: Vec<&str> = self.asked.names().collect();
            self.separator = self.asked.separator.or(declared).unwrap_or_else(|| separator_of(&line, &names));
        }
        let mut row = Row::at(self.lines.number());
        let mut width = match self.format {
            TextFormat::Csv => csv_row(&mut self.lines, line, &mut row, self.separator)?,
            _ => tsv_row(&mut self.lines, line, &mut row)?,
        };
        if self.format == TextFormat::Tsv && self.width > 0 && opens_quote(&row, self.width, width) {
            width = read_quoted_lines(&mut self.lines, &mut row, width, self.width)?;
        }
        if let Some(error) = self.lines.take_damage() {
            return Err(error);
        }
        if self.width == 0 {
            self.width = width;
        }
        Ok(Some((row, width)))
    }

    fn texts<'b>(&self, parts: impl Iterator<Item = Cow<'b, str>>) -> (String, Option<String>) {
        let parts: Vec<Cow<'_, str>> = parts.collect();
        match &*parts {
            [text, pair] if self.asked.pair => (text.to_string(), Some(pair.to_string())),
            parts => (joined(parts), None),
        }
    }

    fn error(&self, line: Option<u64>, problem: DataProblem) -> Error {
        Error::Data { path: self.path.clone(), line, problem }
    }
}

#[cfg(feature = "parquet")]
fn parquet_lines(file: std::fs::File) -> Result<Box<dyn Read + Send>, DataProblem> {
    let lines = super::parquet_lines::ParquetLines::new(file);
    Ok(Box::new(lines.map_err(|error| DataProblem::BadParquet { message: error.to_string() })?))
}

#[cfg(not(feature = "parquet"))]
fn parquet_lines(_: std::fs::File) -> Result<Box<dyn Read + Send>, DataProblem> {
    Err(DataProblem::ParquetNotBuilt)
}

#[cfg(test)]
mod tests;
