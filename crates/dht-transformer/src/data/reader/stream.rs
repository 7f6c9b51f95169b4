//! Texts without labels, one row after another: what is to be predicted.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::files::format_of;
use super::lines::Lines;
use super::table::{Format, Row, csv_row, next_filled_line, parse_object, tsv_row};
use crate::data::columns::{Column, Header};
use crate::error::{DataProblem, Error, Result};

/// How texts to predict are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextFormat {
    /// One text a line, blank lines too.
    Lines,
    /// Comma-separated, quoted as RFC 4180 says.
    Csv,
    /// Tab-separated, not quoted.
    Tsv,
    /// One JSON object a line.
    JsonLines,
}

impl TextFormat {
    /// The format that a file's name tells, and whether it is compressed (`.gz`): csv, tsv, jsonl (also ndjson and json); any other name
    /// is one of lines.
    pub fn of_name(name: &str) -> (Self, bool) {
        match format_of(name) {
            Some((Format::Csv, compressed)) => (Self::Csv, compressed),
            Some((Format::Tsv, compressed)) => (Self::Tsv, compressed),
            Some((Format::JsonLines, compressed)) => (Self::JsonLines, compressed),
            // Its bytes are refused: they are no text.
            Some((Format::Parquet, _)) => (Self::Lines, false),
            None => {
                let name = name.to_ascii_lowercase();
                let (stem, compressed) = name.strip_suffix(".gz").map_or((&*name, false), |stem| (stem, true));
                // JSON in another layout is refused at its first line.
                (if stem.ends_with(".json") { Self::JsonLines } else { Self::Lines }, compressed)
            }
        }
    }
}

/// The columns of texts.
#[derive(Debug, Clone, Default)]
pub struct TextColumns {
    /// The texts' columns in the order to join them in. Without any it is the only column, or that called `text` or
    /// `sentence`.
    pub text: Vec<Column>,
    /// Whether two columns are a pair of sentences instead of parts of one text.
    pub pair: bool,
    /// Whether the first row of a csv or tsv file names the columns. [`Header::Auto`]: it does if a column is asked for by
    /// name, or the only one is called `text` or `sentence`.
    pub header: Header,
    /// Whether a file that has none of these columns is read as if none were named: for columns that are expected, not asked for.
    pub or_only: bool,
}

/// A row of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct TextRow {
    /// The line it begins on, counted from 1.
    pub line: u64,
    /// The text, or the first of a pair. It may be empty.
    pub text: String,
    /// The second of a pair.
    pub pair: Option<String>,
    /// All cells of a csv or tsv row, trimmed; else none.
    pub cells: Vec<String>,
    /// All members of a jsonl row in their order; else none.
    pub members: Vec<(String, Value)>,
}

/// Reads rows of texts in bounded memory, one after another, in the order of the input.
///
/// # Examples
/// ```
/// use dht_transformer::data::{TextColumns, TextFormat, TextStream};
///
/// let file = "id,text\n7,fine food\n8,\"bad, cold food\"\n";
/// let mut rows = TextStream::new("asked.csv", file.as_bytes(), TextFormat::Csv, false, TextColumns::default())?;
/// assert_eq!(rows.names(), ["id", "text"]);
/// assert_eq!(rows.next_row()?.unwrap().text, "fine food");
/// assert_eq!(rows.next_row()?.unwrap().cells, ["8", "bad, cold food"]);
/// assert!(rows.next_row()?.is_none());
/// # Ok::<(), dht_transformer::Error>(())
/// ```
pub struct TextStream<'a> {
    path: PathBuf,
    lines: Lines<'a>,
    format: TextFormat,
    names: Vec<String>,
    width: usize,
    text: Vec<usize>,
    asked: TextColumns,
    is_instead: bool,
    /// The first row, where it is one of texts.
    first: Option<Row>,
}

impl<'a> TextStream<'a> {
    /// Rows of an input; `path` stands in errors. Reads the first row of a csv or tsv file.
    ///
    /// # Errors
    /// [`Error::Data`] with the line for columns that are not there or not known, and for what is no text, as
    /// [`DatasetReader`](crate::DatasetReader).
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
            names: Vec::new(),
            width: 0,
            text: Vec::new(),
            asked: columns,
            is_instead: false,
            first: None,
        };
        let asked = stream.asked.text.len();
        if stream.asked.pair && asked != 2 {
            return Err(stream.error(None, DataProblem::PairColumns { got: asked }));
        }
        if matches!(format, TextFormat::Csv | TextFormat::Tsv) {
            stream.find_columns()?;
        }
        Ok(stream)
    }

    /// The names of the columns of a csv or tsv file, where it has a header; else none.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The column of a csv or tsv file that is read in the place of those that are [expected](TextColumns::or_only).
    pub fn instead(&self) -> Option<Column> {
        let column = *self.text.first().filter(|_| self.is_instead)?;
        Some(self.names.get(column).map_or(Column::Number(column), |name| Column::Name(name.clone())))
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Data`] with the line, as [`new`](Self::new), for a row of another number of columns than the first, and for a
    /// jsonl row without the text.
    pub fn next_row(&mut self) -> Result<Option<TextRow>> {
        match self.format {
            TextFormat::Lines => {
                let Some(line) = self.lines.next_line()? else { return Ok(None) };
                let text = line.trim_end_matches('\r').to_owned();
                let line = self.lines.number();
                Ok(Some(TextRow { line, text, pair: None, cells: Vec::new(), members: Vec::new() }))
            }
            TextFormat::Csv | TextFormat::Tsv => {
                let row = match self.first.take() {
                    Some(row) => row,
                    None => match self.read_row()? {
                        Some((row, width)) if width == self.width => row,
                        Some((row, got)) => {
                            let problem = DataProblem::ColumnCount { expected: self.width, got };
                            return Err(self.error(Some(row.line), problem));
                        }
                        None => return Ok(None),
                    },
                };
                let (text, pair) = self.texts(self.text.iter().map(|column| row.cell(*column)));
                let cells = (0..self.width).map(|column| row.cell(column).to_owned()).collect();
                Ok(Some(TextRow { line: row.line, text, pair, cells, members: Vec::new() }))
            }
            TextFormat::JsonLines => self.next_object(),
        }
    }

    fn next_object(&mut self) -> Result<Option<TextRow>> {
        let Some(content) = next_filled_line(&mut self.lines)? else { return Ok(None) };
        let line = self.lines.number();
        let members = parse_object(&content)
            .map_err(|error| self.error(Some(line), DataProblem::NotJson { message: error.to_string() }))?;
        let keys = || members.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        let columns = match &*self.asked.text {
            [] => vec![self.only(&keys(), line)?],
            asked => match asked.iter().map(|column| self.index(column, &keys(), line)).collect() {
                Err(error) if self.may_be_others() => vec![self.only(&keys(), line).map_err(|_| error)?],
                found => found?,
            },
        };
        let mut cells = Vec::with_capacity(columns.len());
        for column in columns {
            let (key, value) = &members[column];
            cells.push(match value {
                Value::Null => String::new(),
                Value::String(text) => text.trim().to_owned(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Array(_) | Value::Object(_) => {
                    return Err(self.error(Some(line), DataProblem::NestedValue { column: key.clone() }));
                }
            });
        }
        let (text, pair) = self.texts(cells.iter().map(String::as_str));
        Ok(Some(TextRow { line, text, pair, cells: Vec::new(), members }))
    }

    /// Reads the first row and finds the columns of texts.
    fn find_columns(&mut self) -> Result<()> {
        let Some((row, width)) = self.read_row()? else { return Ok(()) };
        self.width = width;
        let cells: Vec<String> = (0..width).map(|column| row.cell(column).to_owned()).collect();
        let one_is_usual = cells.iter().filter(|cell| usual_name(cell)).count() == 1;
        let named = self.asked.text.iter().any(|column| matches!(column, Column::Name(_)));
        let has_names = |unasked: bool| match self.asked.header {
            Header::Yes => true,
            Header::No => false,
            Header::Auto => named || unasked && one_is_usual,
        };
        let names = |header: bool| if header { cells.clone() } else { Vec::new() };
        let mut header = has_names(self.asked.text.is_empty());
        let found = match &*self.asked.text {
            [] => self.only(&names(header), row.line).map(|column| vec![column]),
            asked => asked.iter().map(|column| self.index(column, &names(header), row.line)).collect(),
        };
        // Numbers fit any file, and a name says more.
        let better = self.may_be_others() && !named && one_is_usual && self.asked.header != Header::No;
        self.text = match found {
            Ok(_) if better => {
                (header, self.is_instead) = (true, true);
                vec![self.only(&names(true), row.line)?]
            }
            Err(error) if self.may_be_others() => {
                (header, self.is_instead) = (has_names(true), true);
                vec![self.only(&names(header), row.line).map_err(|_| error)?]
            }
            found => found?,
        };
        self.names = names(header);
        if !header {
            self.first = Some(row);
        }
        Ok(())
    }

    /// Whether the columns that are asked for are only expected.
    fn may_be_others(&self) -> bool {
        self.asked.or_only && !self.asked.text.is_empty() && !self.asked.pair
    }

    /// The only column, or the one with a usual name.
    fn only(&self, names: &[String], line: u64) -> Result<usize> {
        let width = if self.format == TextFormat::JsonLines { names.len() } else { self.width };
        let mut usual = (0..names.len()).filter(|column| usual_name(&names[*column]));
        match (usual.next(), usual.next(), width) {
            (Some(column), None, _) => Ok(column),
            (None, None, 1) => Ok(0),
            _ => Err(self.error(Some(line), DataProblem::NoTextColumn)),
        }
    }

    fn index(&self, column: &Column, names: &[String], line: u64) -> Result<usize> {
        let found = match column {
            Column::Name(name) => names.iter().position(|own| own == name),
            Column::Number(number) if self.format == TextFormat::JsonLines => {
                names.iter().position(|own| *own == number.to_string())
            }
            Column::Number(number) => Some(*number).filter(|number| *number < self.width),
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

    fn read_row(&mut self) -> Result<Option<(Row, usize)>> {
        let Some(line) = next_filled_line(&mut self.lines)? else { return Ok(None) };
        let mut row = Row::at(self.lines.number());
        let parse = if self.format == TextFormat::Csv { csv_row } else { tsv_row };
        let width = parse(&mut self.lines, line, &mut row)?;
        Ok(Some((row, width)))
    }

    fn texts<'b>(&self, cells: impl Iterator<Item = &'b str>) -> (String, Option<String>) {
        let cells: Vec<&str> = cells.collect();
        match &*cells {
            [text, pair] if self.asked.pair => ((*text).to_owned(), Some((*pair).to_owned())),
            cells => (super::joined(cells), None),
        }
    }

    fn error(&self, line: Option<u64>, problem: DataProblem) -> Error {
        Error::Data { path: self.path.clone(), line, problem }
    }
}

/// Whether a column of this name holds the text where nobody says so.
fn usual_name(name: &str) -> bool {
    ["text", "sentence"].iter().any(|usual| name.eq_ignore_ascii_case(usual))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, file: &str, columns: TextColumns) -> Result<Vec<TextRow>> {
        let (format, compressed) = TextFormat::of_name(name);
        let mut stream = TextStream::new(name, file.as_bytes(), format, compressed, columns)?;
        let mut rows = Vec::new();
        while let Some(row) = stream.next_row()? {
            rows.push(row);
        }
        Ok(rows)
    }

    fn texts(name: &str, file: &str, columns: TextColumns) -> Vec<String> {
        read(name, file, columns).expect("rows").into_iter().map(|row| row.text).collect()
    }

    fn columns(names: &[&str]) -> TextColumns {
        let text = names.iter().map(|name| name.parse().expect("a column")).collect();
        TextColumns { text, ..TextColumns::default() }
    }

    #[test]
    fn every_format_gives_its_texts_in_order() {
        assert_eq!(texts("asked.txt", "one\n\n two\r\n", columns(&[])), ["one", "", " two"]);
        assert_eq!(texts("a.csv", "text,n\n\"a, b\",1\nc,2\n", columns(&[])), ["a, b", "c"]);
        assert_eq!(texts("a.csv", "3,a,b\n4,c,\n", columns(&["1", "2"])), ["a b", "c"]);
        assert_eq!(texts("a.tsv", "id\tq\n1\tsay \"it\"\n", columns(&["q"])), ["say \"it\""]);
        assert_eq!(texts("a.csv", "one\ntwo\n", columns(&[])), ["one", "two"]);
        assert_eq!(texts("a.jsonl", "{\"text\": \"a\", \"n\": 1}\n\n{\"text\": null}\n", columns(&[])), ["a", ""]);
        assert_eq!(texts("a.jsonl", "{\"t\": \"a\", \"u\": 2}\n", columns(&["u", "t"])), ["2 a"]);
        assert_eq!(texts("a.ndjson", "{\"t\": \"a\"}\n", columns(&[])), ["a"]);
        assert_eq!(texts("a.json", "{\"t\": \"a\"}\n", columns(&[])), ["a"]);
    }

    #[test]
    fn columns_that_are_expected_give_way_to_the_only_one() {
        let expected = |names: &[&str], header| TextColumns { header, or_only: true, ..columns(names) };
        let named = || expected(&["title", "text"], Header::Yes);
        assert_eq!(texts("a.csv", "title,text\na,b\n", named()), ["a b"]);
        assert_eq!(texts("a.csv", "review\nfine\n", named()), ["fine"]);
        assert_eq!(texts("a.csv", "id,text\n1,fine\n", named()), ["fine"]);
        assert_eq!(texts("a.jsonl", "{\"review\": \"fine\"}\n", named()), ["fine"]);
        let numbered = || expected(&["1", "2"], Header::Auto);
        assert_eq!(texts("a.csv", "a,b,c\n1,2,3\n", numbered()), ["b c", "2 3"]);
        assert_eq!(texts("a.csv", "a,text,c\n1,2,3\n", numbered()), ["2"]);
        assert_eq!(texts("a.csv", "fine\nbad\n", numbered()), ["fine", "bad"]);
        assert_eq!(texts("a.csv", "id,text\n1,fine\n", numbered()), ["fine"]);
        for (file, columns) in [("a,b\n1,2\n", named()), ("a,b\n1,2\n", numbered())] {
            let refused = read("a.csv", file, columns).expect_err("two columns").to_string();
            assert!(refused.contains("no column"), "{refused}");
        }
        let pair = TextColumns { pair: true, ..named() };
        assert!(read("a.csv", "text\nfine\n", pair).is_err());
    }

    #[test]
    fn pairs_cells_and_members_are_kept() {
        let pair = TextColumns { pair: true, ..columns(&["b", "a"]) };
        let rows = read("a.csv", "a,b,c\n1,,3\n", pair).expect("rows");
        assert_eq!((rows[0].text.as_str(), rows[0].pair.as_deref()), ("", Some("1")));
        assert_eq!((rows[0].line, rows[0].cells.clone()), (2, ["1", "", "3"].map(String::from).to_vec()));
        let rows = read("a.jsonl", "{\"z\": [1], \"text\": \"a\"}\n", columns(&[])).expect("rows");
        assert_eq!(rows[0].members[0], ("z".into(), serde_json::json!([1])));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        let refused = |name: &str, file: &str, columns| read(name, file, columns).expect_err("an error").to_string();
        assert_eq!(refused("a.csv", "a,b\n1,2\n", columns(&["c"])), "a.csv:1: no column \"c\"; there are \"a\", \"b\"");
        assert_eq!(refused("a.csv", "1,2\n", columns(&["2"])), "a.csv:1: no column 2; there are columns 0 to 1");
        assert!(refused("a.csv", "a,b\n1,2\n", columns(&[])).contains("name the text columns"));
        assert!(refused("a.csv", "text,b\n1\n", columns(&[])).starts_with("a.csv:2: 1 columns, expected 2"));
        assert!(refused("a.jsonl", "{\"text\": [1]}\n", columns(&[])).contains("an array or an object"));
        assert!(refused("a.jsonl", "{\"text\": \"a\"}\n{}\n", columns(&[])).starts_with("a.jsonl:2: "));
        assert!(refused("a.jsonl", "no\n", columns(&[])).contains("is not a JSON object"));
        let pair = TextColumns { pair: true, ..columns(&["a"]) };
        assert!(refused("a.csv", "a\n1\n", pair).contains("exactly 2 text columns, got 1"));
    }
}
