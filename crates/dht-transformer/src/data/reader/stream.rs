//! Stream of unlabelled texts to predict, row by row.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::cells::is_missing;
use super::file_name::format_of;
use super::header::{decide, is_header_again};
use super::json::{Member, parse_object, replace_lone_surrogates, string};
use super::lines::Lines;
use super::names::{TEXT, is_called, is_known, is_one_of, place_of};
use super::table::{
    Row, Table, check_first_line, csv_row, opens_quote, other_width, read_quoted_lines, tsv_row, unquoted,
};
use super::text::joined;
use crate::data::dataset::Example;
use crate::data::reading::{Column, HeaderSource, Reading, TableFormat, TextSource};
use crate::error::{DataProblem, Error, Result};

/// Number of rows read ahead to detect a header.
const LOOK_AHEAD: usize = 100;

/// Format of texts to predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextFormat {
    /// One text on each line, including blank lines.
    Lines,
    /// Comma-separated, quoted as in RFC 4180.
    Csv,
    /// Tab-separated, not quoted.
    Tsv,
    /// One JSON object on each line.
    JsonLines,
}

impl TextFormat {
    /// Replaces each escape of a JSON text that is half of a surrogate pair by `\ufffd`, as the readers of JSON lines do.
    /// Such halves remain if a text is cut within an emoji.
    pub fn replace_lone_surrogates(json: &str) -> Cow<'_, str> {
        replace_lone_surrogates(json)
    }

    /// Format implied by a file's name, and whether the file is compressed (`.gz`): csv, tsv, jsonl (also ndjson and
    /// json); any other name means lines.
    pub fn of_name(name: &str) -> (Self, bool) {
        match format_of(name) {
            Some((TableFormat::Csv, compressed)) => (Self::Csv, compressed),
            Some((TableFormat::Tsv, compressed)) => (Self::Tsv, compressed),
            Some((TableFormat::JsonLines, compressed)) => (Self::JsonLines, compressed),
            // Parquet bytes are refused: they are not text.
            Some((TableFormat::Parquet, _)) => (Self::Lines, false),
            None => {
                let name = name.to_ascii_lowercase();
                let (stem, compressed) = name.strip_suffix(".gz").map_or((&*name, false), |stem| (stem, true));
                // JSON in another layout is refused at its first line.
                (if stem.ends_with(".json") { Self::JsonLines } else { Self::Lines }, compressed)
            }
        }
    }
}

/// Selection of the text columns.
#[derive(Debug, Clone, Default)]
pub struct TextColumns {
    /// Text columns, in the order of concatenation. If empty, the column with one of the text names that
    /// [`DatasetReader`](crate::DatasetReader) lists, or the only column.
    pub text: Vec<Column>,
    /// `true` if two columns are a sentence pair instead of parts of one text.
    pub pair: bool,
    /// Presence of a header in a csv or tsv file. `None` decides as [`DatasetReader`](crate::DatasetReader) does. If the
    /// rows do not decide, a column requested by number implies
    /// that there is no header.
    pub header: Option<bool>,
    /// `true` if the columns are those of a training run. A file with a single column, or with a column that has a text
    /// name, may lack these columns.
    pub expected: bool,
    /// Number of columns of the training file, if columns are expected by number.
    pub expected_width: Option<usize>,
    /// `true` to read some rows ahead to detect a header. Use it for files, not for a pipe whose writer waits for
    /// answers.
    pub look_ahead: bool,
}

/// Row of texts.
#[derive(Debug, Clone)]
pub struct TextRow {
    /// First line of the row, counted from 1.
    pub line: u64,
    /// Text, or the first of a pair, [clean](Example::clean_text). It may be empty.
    pub text: String,
    /// Second text of a pair.
    pub pair: Option<String>,
    /// The original row.
    pub given: Given,
}

impl TextRow {
    /// Returns whether the row has no text. It is then empty, or a word that programs write for a missing value.
    pub fn is_missing(&self) -> bool {
        let missing = |text: &str| text.is_empty() || is_missing(text);
        missing(&self.text) && self.pair.as_deref().is_none_or(missing)
    }

    /// Format of the table to which this line seems to belong, if the line is a JSON object or names a text or label
    /// column.
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

/// Original content of a row, for writing it again.
#[derive(Debug, Clone)]
pub enum Given {
    /// Line of text.
    Line(String),
    /// Cells of a csv or tsv row.
    Cells(Vec<String>),
    /// Members of a jsonl row, in order.
    Members(Vec<(String, Box<RawValue>)>),
}

/// Reads rows of texts in bounded memory, in the order of the input.
///
/// # Examples
/// ```
/// use dht_transformer::data::{TextColumns, TextFormat, TextStream};
///
/// let file = "id,text\n7,fine food\n8,\"bad, cold food\"\n";
/// let mut rows = TextStream::new("asked.csv", file.as_bytes(), TextFormat::Csv, false, TextColumns::default())?;
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
    /// Header, if there is one.
    header: Option<Row>,
    names: Vec<String>,
    width: usize,
    /// Text columns of a csv or tsv file.
    text: Vec<usize>,
    /// Text keys of a jsonl file.
    keys: Vec<String>,
    asked: TextColumns,
    reading: Option<Reading>,
    doubtful: Option<String>,
    is_instead: bool,
    /// Rows that were read ahead to detect the columns.
    waiting: VecDeque<Row>,
    object: Option<(u64, Vec<Member>)>,
}

impl<'a> TextStream<'a> {
    /// Creates the stream of an input; `path` appears in errors. Reads the first row of a csv, tsv or jsonl file, or
    /// [several](TextColumns::look_ahead).
    ///
    /// # Errors
    /// [`Error::Data`] with the line for missing or unknown columns, a first row that may be a header or data, and for
    /// bytes that are not text, as [`DatasetReader`](crate::DatasetReader).
    pub fn new(
        path: impl AsRef<Path>,
        input: impl Read + 'a,
        format: TextFormat,
        compressed: bool,
        columns: TextColumns,
    ) -> Result<Self> {
        let path = path.as_ref();
        let lines = Lines::new(path, input, compressed, u64::MAX);
        let mut stream = Self {
            path: path.into(),
            lines,
            format,
            header: None,
            names: Vec::new(),
            width: 0,
            text: Vec::new(),
            keys: Vec::new(),
            asked: columns,
            reading: None,
            doubtful: None,
            is_instead: false,
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

    /// Column names of a csv or tsv file with a header; else none.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Interpretation of a csv, tsv or jsonl file, without a label column and without the number of rows; `None` for
    /// lines and for an empty file.
    pub fn reading(&self) -> Option<&Reading> {
        self.reading.as_ref()
    }

    /// First text of a csv or tsv file that is read without a header, if it is one word above texts of several words: it
    /// may name the column.
    pub fn doubtful_text(&self) -> Option<&str> {
        self.doubtful.as_deref()
    }

    /// Number of columns of a csv or tsv file; else 0.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Column that is read instead of the [expected](TextColumns::expected) columns.
    pub fn instead(&self) -> Option<Column> {
        if !self.is_instead {
            return None;
        }
        match (self.keys.first(), self.text.first()) {
            (Some(key), _) => Some(Column::Name(key.clone())),
            (None, Some(column)) => {
                Some(self.names.get(*column).map_or(Column::Number(*column), |name| Column::Name(name.clone())))
            }
            (None, None) => None,
        }
    }

    /// Reads the next row; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Data`] with the line, as [`new`](Self::new), for a row whose number of columns differs from the first
    /// row's, for a repeated header, and for a jsonl row without the text.
    pub fn next_row(&mut self) -> Result<Option<TextRow>> {
        match self.format {
            TextFormat::Lines => {
                let Some(line) = self.lines.next_line()? else { return Ok(None) };
                let given = line.strip_suffix('\r').unwrap_or(&line).to_owned();
                let (text, line) = (Example::clean_text(&given).into_owned(), self.lines.number());
                Ok(Some(TextRow { line, text, pair: None, given: Given::Line(given) }))
            }
            TextFormat::Csv | TextFormat::Tsv => {
                let row = match self.waiting.pop_front() {
                    Some(row) => row,
                    None => match self.read_row()? {
                        Some(row) => row,
                        None => return Ok(None),
                    },
                };
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
                let (text, pair) = self.texts(self.text.iter().map(cell));
                let cells = (0..self.width).map(|column| row.raw(column).to_owned()).collect();
                Ok(Some(TextRow { line: row.line, text, pair, given: Given::Cells(cells) }))
            }
            TextFormat::JsonLines => self.next_object(),
        }
    }

    fn read_object(&mut self) -> Result<Option<(u64, Vec<Member>)>> {
        let Some(content) = self.lines.next_filled_line()? else { return Ok(None) };
        let line = self.lines.number();
        let members = parse_object(&content).map_err(|problem| self.error(Some(line), problem))?;
        Ok(Some((line, members)))
    }

    fn next_object(&mut self) -> Result<Option<TextRow>> {
        let next = match self.object.take() {
            Some(object) => Some(object),
            None => self.read_object()?,
        };
        let Some((line, members)) = next else { return Ok(None) };
        let at = |problem| self.error(Some(line), problem);
        let mut parts = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
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

    /// Reads the first object and selects the text keys.
    fn find_keys(&mut self) -> Result<()> {
        let Some((line, members)) = self.read_object()? else { return Ok(()) };
        let keys: Vec<String> = members.iter().map(|(key, _)| key.clone()).collect();
        let found = match &*self.asked.text {
            [] => self.only(&keys, keys.len(), line).map(|key| vec![key]),
            asked => asked.iter().map(|column| self.index(column, &keys, line)).collect(),
        };
        let places = match found {
            Err(error) if self.may_be_others() => {
                self.is_instead = true;
                vec![self.only(&keys, keys.len(), line).map_err(|_| error)?]
            }
            found => found?,
        };
        self.reading = Some(self.interpretation((TableFormat::JsonLines, HeaderSource::Format), &keys, &places));
        self.keys = places.into_iter().map(|place| keys[place].clone()).collect();
        self.object = Some((line, members));
        Ok(())
    }

    /// Interpretation of columns with these names, of which those at `places` have the texts. Columns without names have
    /// numbers.
    fn interpretation(
        &self,
        (format, header_source): (TableFormat, HeaderSource),
        names: &[String],
        places: &[usize],
    ) -> Reading {
        let name_of = |place: usize| names.get(place).filter(|name| !name.is_empty());
        let column = |place: usize| name_of(place).map_or(Column::Number(place), |name| Column::Name(name.clone()));
        let is_named = |place: &usize| names.get(*place).is_some_and(|name| is_one_of(name, &TEXT));
        let text_source = match (self.asked.text.is_empty(), self.asked.expected) {
            (false, false) => TextSource::Asked,
            (false, true) => TextSource::Training,
            (true, _) if places.iter().all(is_named) => TextSource::Name,
            (true, _) => TextSource::Found,
        };
        let rest = (0..names.len().max(self.width)).filter(|place| !places.contains(place));
        Reading {
            format: Some(format),
            header: !names.is_empty(),
            header_source,
            text: places.iter().map(|place| column(*place)).collect(),
            text_source,
            pair: self.asked.pair,
            carried: rest.map(column).collect(),
            ..Reading::default()
        }
    }

    /// Reads the first rows and detects header and text columns.
    fn find_columns(&mut self) -> Result<()> {
        let mut table = Table::default();
        while table.rows.len() < if self.asked.look_ahead { LOOK_AHEAD } else { 1 } {
            match self.read_row() {
                Ok(Some(row)) => table.rows.push(row),
                Ok(None) => break,
                // The row is read again, and refused, after the rows before it.
                Err(error) if table.rows.is_empty() => return Err(error),
                Err(error) => {
                    self.lines.fail(error);
                    break;
                }
            }
        }
        let Some(first) = table.rows.first() else { return Ok(()) };
        table.width = self.width;
        let (line, width) = (first.line, self.width);
        if let Some(other) = other_separator(&table) {
            return Err(self.error(Some(line), DataProblem::OneColumn { other: format!(", and all have {other:?}") }));
        }
        let columns: Vec<&Column> = self.asked.text.iter().collect();
        let named = columns.iter().any(|column| matches!(column, Column::Name(_)));
        let (header, source) = match decide(&table, self.asked.header, None, &columns) {
            Ok(decision) => decision,
            // Without requested names there is no header. Names from a training run are required.
            Err(_) if !named => (false, HeaderSource::Asked),
            Err(_) if named && !self.asked.expected => (true, HeaderSource::Asked),
            Err(problem) => return Err(self.error(Some(line), problem)),
        };
        let numbered = self.may_be_others() && !header && !named && width > 1;
        if let Some(expected) = self.asked.expected_width.filter(|expected| numbered && *expected != width) {
            return Err(self.error(Some(line), DataProblem::OtherWidth { expected, got: width }));
        }
        let names: Vec<String> =
            if header { (0..width).map(|column| first.cell(column).to_owned()).collect() } else { Vec::new() };
        let again = |place: usize| !names[place].is_empty() && names[..place].contains(&names[place]);
        if let Some(place) = (0..names.len()).find(|place| again(*place)) {
            let problem = DataProblem::DuplicateColumn { column: names[place].clone() };
            return Err(self.error(Some(line), problem));
        }
        let found = match &*self.asked.text {
            [] => self.only(&names, width, line).map(|column| vec![column]),
            asked => asked.iter().map(|column| self.index(column, &names, line)).collect(),
        };
        // Numbers fit any file; a name is more specific.
        let better = self.may_be_others() && header && !named && names.iter().any(|name| is_one_of(name, &TEXT));
        self.text = match found {
            Ok(_) if better => {
                self.is_instead = true;
                vec![self.only(&names, width, line)?]
            }
            Err(error) if self.may_be_others() => {
                self.is_instead = true;
                vec![self.only(&names, width, line).map_err(|_| error)?]
            }
            found => found?,
        };
        let format = if self.format == TextFormat::Tsv { TableFormat::Tsv } else { TableFormat::Csv };
        self.reading = Some(self.interpretation((format, source), &names, &self.text));
        if let (false, None, [place], [first, rest @ ..]) = (header, self.asked.header, &*self.text, &*table.rows) {
            let is_word = |row: &Row| !row.cell(*place).contains(char::is_whitespace);
            let stands_out =
                is_word(first) && !first.cell(*place).is_empty() && !rest.is_empty() && !rest.iter().any(is_word);
            self.doubtful = stands_out.then(|| first.cell(*place).to_owned());
        }
        self.names = names;
        self.waiting = table.rows.into();
        if header {
            self.header = self.waiting.pop_front();
        }
        Ok(())
    }

    /// Returns whether other columns than those of the training run may be read.
    fn may_be_others(&self) -> bool {
        self.asked.expected && !self.asked.text.is_empty() && !self.asked.pair
    }

    /// Column with a text name, or the only column.
    fn only(&self, names: &[String], width: usize, line: u64) -> Result<usize> {
        let called = |wanted: &[&str]| -> Vec<usize> {
            (0..names.len()).filter(|column| is_one_of(&names[*column], wanted)).collect()
        };
        let text: Vec<usize> = (0..names.len()).filter(|column| is_called(&names[*column], TEXT[0])).collect();
        match (&*text, &*called(&TEXT), width) {
            (&[column], ..) | ([], &[column], _) => Ok(column),
            ([], [], 1) => Ok(0),
            ([], [], _) => Err(self.error(Some(line), DataProblem::NoTextColumn)),
            (_, several, _) => {
                let columns: Vec<String> = several.iter().map(|column| format!("{:?}", names[*column])).collect();
                Err(self.error(Some(line), DataProblem::TextColumns { columns: columns.join(", ") }))
            }
        }
    }

    fn index(&self, column: &Column, names: &[String], line: u64) -> Result<usize> {
        let found = match column {
            Column::Name(name) => place_of(names, name),
            Column::Number(number) if self.format == TextFormat::JsonLines => {
                names.iter().position(|own| *own == number.to_string())
            }
            Column::Number(number) => {
                let named = names.iter().position(|own| *own == number.to_string());
                named.or(Some(*number).filter(|number| *number < self.width))
            }
        };
        found.ok_or_else(|| {
            let known = if names.is_empty() {
                format!("columns 0 to {}", self.width.saturating_sub(1))
            } else {
                names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
            };
            self.error(Some(line), DataProblem::UnknownColumn { column: column.to_string(), known })
        })
    }

    /// Reads the next row of a csv or tsv file, which must have as many columns as the first.
    fn read_row(&mut self) -> Result<Option<Row>> {
        let Some(line) = self.lines.next_filled_line()? else { return Ok(None) };
        let mut row = Row::at(self.lines.number());
        if self.width == 0 {
            check_first_line(&self.lines, &line, self.format == TextFormat::Tsv)?;
        }
        let parse = if self.format == TextFormat::Csv { csv_row } else { tsv_row };
        let mut width = parse(&mut self.lines, line, &mut row)?;
        if self.format == TextFormat::Tsv && self.width > 0 && opens_quote(&row, self.width, width) {
            width = read_quoted_lines(&mut self.lines, &mut row, (width, self.width))?;
        }
        if self.width == 0 {
            self.width = width;
        }
        if width != self.width {
            return Err(self.error(Some(row.line), other_width(&row, self.width, width)));
        }
        Ok(Some(row))
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

/// Separator of another format, if each of several one-cell rows contains it equally often.
fn other_separator(table: &Table) -> Option<char> {
    let counts = |sign: char| table.rows.iter().map(move |row| row.raw(0).matches(sign).count());
    let all = |sign: &char| counts(*sign).min() > Some(0) && counts(*sign).min() == counts(*sign).max();
    [';', '\t', '|', ','].into_iter().find(all).filter(|_| table.width == 1 && table.rows.len() > 1)
}

#[cfg(test)]
mod tests;
