//! Selection of the text columns in a file with texts to predict.

use super::format::TextFormat;
use crate::data::reader::coding::TextEncoding;
use crate::data::reader::header::decide;
use crate::data::reader::names::{INDEX, LABEL, TEXT, is_one_of, place_of};
use crate::data::reader::row::Row;
use crate::data::reader::table::Table;
use crate::data::reading::{Column, HeaderSource, Reading, TableFormat, TextSource};
use crate::error::DataProblem;

/// Request for the text columns of a file with texts to predict, with the options for reading the file.
#[derive(Debug, Clone, Default)]
pub struct TextColumns {
    /// Text columns, whose texts are joined in this order. If empty, the text column is detected: the column with a
    /// usual name such as `text` or `review` (as in [`DatasetReader`](crate::DatasetReader)), or the only column.
    pub text: Vec<Column>,
    /// `true` if the two text columns are a text pair. Otherwise the texts of several columns are joined.
    pub pair: bool,
    /// Presence of a header in a csv or tsv file. `None` detects it as [`DatasetReader`](crate::DatasetReader) does. If
    /// the rows are ambiguous, columns requested by number imply that there is no header.
    pub header: Option<bool>,
    /// Column separator of a csv file. `None` detects it as [`DatasetReader`](crate::DatasetReader) does.
    pub separator: Option<char>,
    /// Encoding of a file without a byte-order mark; `None` is UTF-8.
    pub encoding: Option<TextEncoding>,
    /// `true` if `text` holds the text columns of the training data, which are expected in the file but not requested.
    ///
    /// If there is one text column, the file may differ from the training file in two ways. It may consist of a single
    /// column without a name. If the training file had no names, it may have a column with a usual name such as `text`,
    /// which is read. In all other cases, a file without the expected columns is an error.
    pub expected: bool,
    /// Number of columns of the training file, if its columns had no names. A file with another number is refused.
    pub expected_width: Option<usize>,
    /// `true` to read some rows ahead, which improves the detection of a header. Set it for files. Do not set it for a
    /// pipe whose writer waits for each answer before it sends the next row.
    pub look_ahead: bool,
}

impl TextColumns {
    fn has_names(&self) -> bool {
        self.names().next().is_some()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.text.iter().filter_map(|column| match column {
            Column::Name(name) => Some(&**name),
            Column::Number(_) => None,
        })
    }

    /// Returns whether the file may have a text column other than the text column of the training data.
    fn may_be_others(&self) -> bool {
        self.expected && !self.text.is_empty() && !self.pair
    }
}

#[derive(Debug, Default)]
pub(super) struct FileColumns {
    /// Column names in the header, or keys of a jsonl file. Empty for a file without a header.
    pub(super) names: Vec<String>,
    /// Indices of the text columns. Their texts are joined in this order.
    pub(super) text: Vec<usize>,
    pub(super) reading: Option<Reading>,
    /// First text, if it looks like a column name in a file that was read without a header.
    pub(super) doubtful: Option<String>,
}

impl FileColumns {
    /// Selects the text columns of a csv or tsv file from its first rows. The table must have at least one row.
    pub(super) fn of_table(table: &Table, format: TextFormat, asked: &TextColumns) -> Result<Self, DataProblem> {
        if let Some(other) = other_separator(table) {
            return Err(DataProblem::OneColumn { other: format!(", and all have {other:?}") });
        }
        let (header, source) = find_header(table, asked)?;
        let names = if header { header_names(table)? } else { Vec::new() };
        let search = Search { asked, format, names: &names, width: table.width };
        search.check_width()?;
        let text = search.texts()?;
        let reading = Some(search.interpretation(source, &text));
        let doubtful = if header { None } else { doubtful_text(table, asked, &text) };
        Ok(Self { names, text, reading, doubtful })
    }

    /// Selects the text keys of a jsonl file from the keys of its first object.
    pub(super) fn of_keys(keys: Vec<String>, asked: &TextColumns) -> Result<Self, DataProblem> {
        let search = Search { asked, format: TextFormat::JsonLines, names: &keys, width: keys.len() };
        let text = search.texts()?;
        let reading = Some(search.interpretation(HeaderSource::Format, &text));
        Ok(Self { names: keys, text, reading, doubtful: None })
    }
}

/// Decides whether the first row is a header. If the rows are ambiguous, columns requested by number imply that there
/// is no header, and columns requested by name imply a header. Column names of the training data must occur in the
/// first row.
fn find_header(table: &Table, asked: &TextColumns) -> Result<(bool, HeaderSource), DataProblem> {
    let columns: Vec<&Column> = asked.text.iter().collect();
    match decide(table, asked.header, None, &columns) {
        Err(_) if !asked.has_names() => Ok((false, HeaderSource::Asked)),
        Err(_) if !asked.expected => Ok((true, HeaderSource::Asked)),
        decision => decision,
    }
}

/// Reads the column names from the header row. Duplicate names are refused.
fn header_names(table: &Table) -> Result<Vec<String>, DataProblem> {
    let mut names: Vec<String> = Vec::with_capacity(table.width);
    for column in 0..table.width {
        let name = table.rows[0].cell(column).to_owned();
        if !name.is_empty() && names.contains(&name) {
            return Err(DataProblem::DuplicateColumn { column: name });
        }
        names.push(name);
    }
    Ok(names)
}

/// Returns the first text of a file without a header, if it looks like a column name: it is one word, and the texts
/// below it have several words.
fn doubtful_text(table: &Table, asked: &TextColumns, text: &[usize]) -> Option<String> {
    let (None, [place], [first, rest @ ..]) = (asked.header, text, &*table.rows) else { return None };
    let is_word = |row: &Row| !row.cell(*place).contains(char::is_whitespace);
    let stands_out = is_word(first) && !first.cell(*place).is_empty() && !rest.is_empty() && !rest.iter().any(is_word);
    stands_out.then(|| first.cell(*place).to_owned())
}

/// Guesses the true separator of a table with a single column: a character that occurs equally often in each of several
/// rows.
fn other_separator(table: &Table) -> Option<char> {
    let counts = |sign: char| table.rows.iter().map(move |row| row.raw(0).matches(sign).count());
    let all = |sign: &char| counts(*sign).min() > Some(0) && counts(*sign).min() == counts(*sign).max();
    [';', '\t', '|', ','].into_iter().find(all).filter(|_| table.width == 1 && table.rows.len() > 1)
}

struct Search<'a> {
    asked: &'a TextColumns,
    format: TextFormat,
    /// Column names; empty for a file without a header.
    names: &'a [String],
    width: usize,
}

impl Search<'_> {
    /// Refuses a file without column names if it has more or fewer columns than the training file, and the expected
    /// text columns are identified by number.
    fn check_width(&self) -> Result<(), DataProblem> {
        let numbered = self.asked.may_be_others() && self.names.is_empty() && !self.asked.has_names() && self.width > 1;
        match self.asked.expected_width.filter(|expected| numbered && *expected != self.width) {
            Some(expected) => Err(DataProblem::OtherWidth { expected, got: self.width }),
            None => Ok(()),
        }
    }

    fn texts(&self) -> Result<Vec<usize>, DataProblem> {
        let asked = &self.asked.text;
        if asked.is_empty() {
            return Ok(vec![self.only()?]);
        }
        let places = asked.iter().map(|column| self.place(column)).collect::<Result<Vec<usize>, _>>();
        if !(self.asked.may_be_others() && asked.len() == 1) {
            return places;
        }
        if self.asked.has_names() {
            return places.or_else(|problem| if self.is_bare() { Ok(vec![0]) } else { Err(problem) });
        }
        // A number fits any table, so a column with a text name takes precedence.
        let is_text = |name: &String| is_one_of(name, &TEXT);
        match places {
            Ok(places) if !self.names.iter().any(is_text) => Ok(places),
            Err(problem) if !self.is_bare() && !self.names.iter().any(is_text) => Err(problem),
            _ => Ok(vec![self.only()?]),
        }
    }

    /// Returns whether the table has a single column without a name.
    fn is_bare(&self) -> bool {
        self.names.is_empty() && self.width == 1
    }

    /// Finds the column with a usual name such as `text`, or the only column.
    fn only(&self) -> Result<usize, DataProblem> {
        let names = self.names;
        let called = |name: &[&str]| -> Vec<usize> {
            (0..names.len()).filter(|column| is_one_of(&names[*column], name)).collect()
        };
        match (&*called(&TEXT[..1]), &*called(&TEXT), self.width) {
            (&[column], ..) | ([], &[column], _) => Ok(column),
            // A column with row numbers or labels is not a text column.
            ([], [], 1) if !names.iter().any(|name| is_one_of(name, &INDEX) || is_one_of(name, &LABEL)) => Ok(0),
            ([], [], _) => Err(DataProblem::NoTextColumn),
            (_, several, _) => {
                let columns: Vec<String> = several.iter().map(|column| format!("{:?}", names[*column])).collect();
                Err(DataProblem::TextColumns { columns: columns.join(", ") })
            }
        }
    }

    fn place(&self, column: &Column) -> Result<usize, DataProblem> {
        let names = self.names;
        let place = match column {
            Column::Name(name) => place_of(names, name),
            Column::Number(number) => {
                let named = names.iter().position(|own| *own == number.to_string());
                // The keys of a JSON object have no order by which they could be numbered.
                let is_place = self.format != TextFormat::JsonLines && *number < self.width;
                named.or(is_place.then_some(*number))
            }
        };
        place.ok_or_else(|| {
            let known = if names.is_empty() {
                format!("columns 0 to {}", self.width.saturating_sub(1))
            } else {
                names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
            };
            DataProblem::UnknownColumn { column: column.to_string(), known }
        })
    }

    /// Creates the report of how the file was interpreted. `places` are the indices of the text columns. Columns
    /// without names are identified by number.
    fn interpretation(&self, header_source: HeaderSource, places: &[usize]) -> Reading {
        let name_of = |place: usize| self.names.get(place).filter(|name| !name.is_empty());
        let column = |place: usize| name_of(place).map_or(Column::Number(place), |name| Column::Name(name.clone()));
        let is_named = |place: &usize| self.names.get(*place).is_some_and(|name| is_one_of(name, &TEXT));
        let text_source = match (self.asked.text.is_empty(), self.asked.expected) {
            (false, false) => TextSource::Asked,
            (false, true) => TextSource::Training,
            (true, _) if places.iter().all(is_named) => TextSource::Name,
            (true, _) => TextSource::Found,
        };
        Reading {
            format: Some(match self.format {
                TextFormat::Tsv => TableFormat::Tsv,
                TextFormat::JsonLines => TableFormat::JsonLines,
                _ => TableFormat::Csv,
            }),
            header: !self.names.is_empty(),
            header_source,
            text: places.iter().map(|place| column(*place)).collect(),
            text_source,
            pair: self.asked.pair,
            carried: (0..self.width).filter(|place| !places.contains(place)).map(column).collect(),
            ..Reading::default()
        }
    }
}
