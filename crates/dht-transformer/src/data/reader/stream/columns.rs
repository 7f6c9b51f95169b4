//! Text columns of an input with texts to predict: requested, expected or detected.

use super::format::TextFormat;
use crate::data::reader::coding::TextEncoding;
use crate::data::reader::header::decide;
use crate::data::reader::names::{INDEX, LABEL, TEXT, is_one_of, place_of};
use crate::data::reader::row::Row;
use crate::data::reader::table::Table;
use crate::data::reading::{Column, HeaderSource, Reading, TableFormat, TextSource};
use crate::error::DataProblem;

/// Selection of the text columns in an input with texts to predict.
#[derive(Debug, Clone, Default)]
pub struct TextColumns {
    /// Text columns, in the order in which they are joined. If empty, the text column is detected: a column with a text
    /// name that [`DatasetReader`](crate::DatasetReader) lists, or the only column.
    pub text: Vec<Column>,
    /// `true` if two text columns are a pair of texts, and not parts of one text.
    pub pair: bool,
    /// Presence of a header in a csv or tsv file. `None` decides as [`DatasetReader`](crate::DatasetReader) does. If
    /// the rows do not decide, a column requested by number implies that there is no header.
    pub header: Option<bool>,
    /// Separator of the columns of a csv file. `None` decides as [`DatasetReader`](crate::DatasetReader) does.
    pub separator: Option<char>,
    /// Encoding of a file without a byte-order mark; `None` is UTF-8.
    pub encoding: Option<TextEncoding>,
    /// `true` if `text` holds the columns of the training run. If there is one text column, a file may differ from the
    /// training file in two ways. The file may have a single column without a name. The file may have a column with a
    /// text name, which replaces a column that is identified by number. No other column is read instead.
    pub expected: bool,
    /// Number of columns of the training file, if the columns are identified by number.
    pub expected_width: Option<usize>,
    /// `true` to read some rows ahead, which helps to detect a header. Use it for files, and not for a pipe whose
    /// writer waits for answers.
    pub look_ahead: bool,
}

impl TextColumns {
    /// Returns whether columns are requested by name.
    fn has_names(&self) -> bool {
        self.names().next().is_some()
    }

    /// Names of requested columns.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.text.iter().filter_map(|column| match column {
            Column::Name(name) => Some(&**name),
            Column::Number(_) => None,
        })
    }

    /// Returns whether other columns than those of the training run may be read.
    fn may_be_others(&self) -> bool {
        self.expected && !self.text.is_empty() && !self.pair
    }
}

/// Text columns that were selected in a file.
#[derive(Debug, Default)]
pub(super) struct FileColumns {
    /// Names in the header, or keys of a jsonl file. Empty if the columns have no names.
    pub(super) names: Vec<String>,
    /// Indices of the text columns, in the order in which they are joined.
    pub(super) text: Vec<usize>,
    pub(super) reading: Option<Reading>,
    /// First text, if it may be the name of the column.
    pub(super) doubtful: Option<String>,
}

impl FileColumns {
    /// Selects the text columns of a csv or tsv file by its first rows. The table must have at least one row.
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

    /// Selects the text keys of a jsonl file among the keys of its first object.
    pub(super) fn of_keys(keys: Vec<String>, asked: &TextColumns) -> Result<Self, DataProblem> {
        let search = Search { asked, format: TextFormat::JsonLines, names: &keys, width: keys.len() };
        let text = search.texts()?;
        let reading = Some(search.interpretation(HeaderSource::Format, &text));
        Ok(Self { names: keys, text, reading, doubtful: None })
    }
}

/// Decides whether the first row is a header. If the rows do not decide, columns requested by number imply that there is
/// no header, and columns requested by name imply a header. Names of a training run must be in the first row.
fn find_header(table: &Table, asked: &TextColumns) -> Result<(bool, HeaderSource), DataProblem> {
    let columns: Vec<&Column> = asked.text.iter().collect();
    match decide(table, asked.header, None, &columns) {
        Err(_) if !asked.has_names() => Ok((false, HeaderSource::Asked)),
        Err(_) if !asked.expected => Ok((true, HeaderSource::Asked)),
        decision => decision,
    }
}

/// Column names in the header row. Duplicate names are refused.
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

/// First text of a file without a header, if it is one word above texts of several words. It may name the column.
fn doubtful_text(table: &Table, asked: &TextColumns, text: &[usize]) -> Option<String> {
    let (None, [place], [first, rest @ ..]) = (asked.header, text, &*table.rows) else { return None };
    let is_word = |row: &Row| !row.cell(*place).contains(char::is_whitespace);
    let stands_out = is_word(first) && !first.cell(*place).is_empty() && !rest.is_empty() && !rest.iter().any(is_word);
    stands_out.then(|| first.cell(*place).to_owned())
}

/// Separator of another format, if each of several one-cell rows contains it equally often.
fn other_separator(table: &Table) -> Option<char> {
    let counts = |sign: char| table.rows.iter().map(move |row| row.raw(0).matches(sign).count());
    let all = |sign: &char| counts(*sign).min() > Some(0) && counts(*sign).min() == counts(*sign).max();
    [';', '\t', '|', ','].into_iter().find(all).filter(|_| table.width == 1 && table.rows.len() > 1)
}

/// Columns of a file, and the request by which the text columns are selected.
struct Search<'a> {
    asked: &'a TextColumns,
    format: TextFormat,
    /// Names of the columns; empty if the columns have no names.
    names: &'a [String],
    width: usize,
}

impl Search<'_> {
    /// Refuses a table of unnamed columns whose width differs from the training file, if columns are expected by
    /// number.
    fn check_width(&self) -> Result<(), DataProblem> {
        let numbered = self.asked.may_be_others() && self.names.is_empty() && !self.asked.has_names() && self.width > 1;
        match self.asked.expected_width.filter(|expected| numbered && *expected != self.width) {
            Some(expected) => Err(DataProblem::OtherWidth { expected, got: self.width }),
            None => Ok(()),
        }
    }

    /// Indices of the text columns.
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

    /// Index of the column with a text name, or of the only column.
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

    /// Index of a requested column.
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

    /// Interpretation of the file, in which the columns at `places` are texts. Columns without names are identified by
    /// number.
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
