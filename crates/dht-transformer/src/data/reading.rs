//! Report of how a table file was interpreted: its columns and labels, and the reason for each decision.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::label_mapping::LabelMapping;

/// Column of a table, identified by name or number.
///
/// # Examples
/// ```
/// use dht_transformer::data::Column;
///
/// assert_eq!(Column::from("review"), Column::Name("review".into()));
/// assert_eq!(Column::from("2"), Column::Number(2));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Column {
    /// Column name in the header, or key in a jsonl file.
    Name(String),
    /// Column number, counted from 0. A column whose name is this number takes precedence.
    Number(usize),
}

impl From<&str> for Column {
    /// Converts a text to a column: digits become a number, any other text a name.
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.into()), Self::Number)
    }
}

impl From<&String> for Column {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Column {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<usize> for Column {
    fn from(number: usize) -> Self {
        Self::Number(number)
    }
}

impl FromStr for Column {
    type Err = Infallible;

    /// Parses a column: digits become a number, any other text a name.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

impl fmt::Display for Column {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(formatter, "{name:?}"),
            Self::Number(number) => write!(formatter, "{number}"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TableFormat {
    /// Comma-separated, quoted as in RFC 4180: a field with a comma, a quote or a line end is in double quotes, and a
    /// quote inside is doubled.
    Csv,
    /// Tab-separated without quoting, as in the GLUE benchmark: a quote is an ordinary character. There are two
    /// exceptions. A cell in quotes whose inner quotes are all doubled is unquoted, since pandas writes such cells. A
    /// quoted cell may span several lines if its row would otherwise have too few columns.
    Tsv,
    /// One JSON object on each line, or an array of objects.
    #[serde(rename = "jsonl")]
    JsonLines,
    /// fastText format: one text on each line, after its labels, such as `__label__good fine food`.
    #[serde(rename = "fasttext")]
    FastText,
    /// One folder for each class, with one file for each text.
    Folders,
    /// Apache Parquet: columns in compressed pages (feature `parquet`).
    Parquet,
}

impl fmt::Display for TableFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::JsonLines => "jsonl",
            Self::FastText => "fastText",
            Self::Folders => "a folder for each class",
            Self::Parquet => "parquet",
        })
    }
}

/// Meaning of a label cell, which determines the task: classification, multi-label classification or regression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LabelKind {
    /// Single-label classification: a cell is one class.
    #[default]
    Class,
    /// Multi-label classification: a cell holds any number of labels. An empty cell has no label.
    Several {
        /// Character that separates the labels in a cell.
        separator: char,
    },
    /// Regression: a cell is a number.
    Number,
}

/// Reason why the first row is read as a header or as data.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HeaderSource {
    /// The caller or a command-line flag stated whether there is a header.
    #[default]
    Asked,
    /// The file is read like the training file: both have a header, or neither has one.
    Training,
    /// The file format itself names the columns.
    Format,
    /// The first row contains this name, which is the usual name of a column or a requested column.
    Name(String),
    /// In the column with this index, the first cell is a word and the cells below are numbers or dates. The first row
    /// is a header.
    Words(usize),
    /// The first row contains the column numbers 0, 1, 2, …, which pandas writes as a header.
    Numbers,
    /// In the column with this index, the first cell is a value like the cells below, so the first row is data.
    Value(usize),
    /// The table has one column, and its first cell is not a usual column name, so the first row is data.
    OneColumn,
}

impl fmt::Display for HeaderSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => write!(formatter, "as asked"),
            Self::Training => write!(formatter, "as in training"),
            Self::Format => write!(formatter, "by the format"),
            Self::Name(name) => write!(formatter, "it has {name:?}"),
            Self::Words(column) => write!(formatter, "column {column} has a word above numbers or dates"),
            Self::Numbers => write!(formatter, "it numbers the columns"),
            Self::Value(column) => write!(formatter, "the first cell of column {column} is like others below"),
            Self::OneColumn => write!(formatter, "one column without a known name"),
        }
    }
}

/// Reason why a column was selected as the label column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LabelSource {
    /// The caller or a command-line flag requested the column.
    #[default]
    Asked,
    /// The column is the label column of the training set.
    Training,
    /// The column has a usual name of a label column, such as `label`.
    Name,
    /// The column is the only one whose cells are all labels of the training set.
    KnownLabels,
    /// The column is the only one with a value in every row and few distinct values.
    OnlyRepeating,
    /// The column has the fewest distinct values. Only reports of earlier releases contain this reason.
    FewestValues,
}

/// Reason why columns were selected as text columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TextSource {
    /// The caller or a command-line flag requested the columns.
    Asked,
    /// The columns are the text columns of the training set.
    Training,
    /// The column has a usual name of a text column, or the two columns have the usual names of a pair.
    Name,
    /// No other column contains words.
    OnlyWords,
    /// The columns are all columns with words. Only reports of earlier releases contain this reason.
    #[default]
    Found,
}

/// Report of how a table file was interpreted: its header, columns, label kind and label mapping, and the reason for
/// each decision.
///
/// `Display` writes a sentence about the columns; [`lines`](Self::lines) writes the whole report.
///
/// # Examples
/// ```
/// use dht_transformer::DatasetReader;
/// use dht_transformer::data::Column;
///
/// let file = "text,label\nfine food,good\nbad food,bad\n";
/// let data = DatasetReader::new().read_from("reviews.csv", file.as_bytes())?;
/// let reading = data.reading.expect("a reading of the file");
/// assert_eq!((reading.header, reading.rows), (true, 2));
/// assert_eq!(reading.text, [Column::from("text")]);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reading {
    /// File format; `None` in reports of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<TableFormat>,
    /// Column separator of a csv file; `None` for a comma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<char>,
    /// Encoding of the file; `None` for UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// `true` if the columns have names.
    pub header: bool,
    #[serde(default)]
    pub(crate) header_source: HeaderSource,
    /// Label column; `None` if the texts were read without labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Column>,
    /// Label columns of multi-label data: one column of zeros and ones for each label, named after the label. `label`
    /// is then the first of them. Empty if the table has a single label column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub label_columns: Vec<Column>,
    #[serde(default)]
    pub(crate) label_source: LabelSource,
    /// Columns that were not selected although they also have a usual name of a label column.
    #[serde(default)]
    pub label_rivals: Vec<Column>,
    /// Meaning of the cells in the label column.
    #[serde(default)]
    pub kind: LabelKind,
    /// `true` if the cells in the label column are lists of labels.
    #[serde(default)]
    pub(crate) lists: bool,
    /// Mapping from the labels in the file to the classes; `None` if the labels are the class names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mapping: Option<LabelMapping>,
    /// Text columns, whose texts are joined in this order. For a pair: the columns of the first and the second text.
    pub text: Vec<Column>,
    #[serde(default)]
    pub(crate) text_source: TextSource,
    /// `true` if the two text columns are a text pair. Otherwise the texts of several columns are joined.
    #[serde(default)]
    pub pair: bool,
    /// Columns that are neither texts nor labels, and are not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carried: Vec<Column>,
    /// Number of rows read.
    #[serde(default)]
    pub rows: usize,
    /// Number of rows in the file, if only a random sample of them was read; `None` if all rows were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn_from: Option<usize>,
    /// Number of blank lines and blank rows that were skipped.
    #[serde(default)]
    pub blank_lines: usize,
    /// Text columns that leak the label: a cell that occurs in several rows determines the label, exactly or nearly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) leaks: Vec<LabelLeak>,
    /// Number of texts that usually stand for a missing value (`nan`, `null` and similar), and the first such text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_texts: Option<(usize, String)>,
    /// Number of rows whose class is a word that usually stands for a missing value, and the first such class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_labels: Option<(usize, String)>,
    /// Number of rows without a label that were [skipped](crate::DatasetReader::skip_unlabelled).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unlabelled_rows: usize,
    /// Labels of skipped rows that are not classes of the model, each with its number of rows, the most frequent first.
    /// A row with several unknown labels counts for the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_labels: Vec<(String, usize)>,
    /// Line number and class of the first or last row, if no other row has this class. Such a row may be a second
    /// header or a row of totals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lone_class: Option<(u64, String)>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Text column that leaks the label: its cells determine the label, exactly or nearly. Examples are a written-out label
/// and the name of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LabelLeak {
    /// Column that leaks the label.
    pub column: Column,
    /// Percentage of distinct rows that a lookup of the cell labels correctly. The lookup returns the most frequent
    /// label among rows with the same cell.
    pub percent: usize,
    /// Number of distinct cells in the column.
    pub values: usize,
}

impl fmt::Display for LabelLeak {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, percent, values } = self;
        write!(formatter, "beware: column {column} predicts the label in {percent} of 100 rows by {values} values")
    }
}

fn list(columns: &[Column]) -> String {
    columns.iter().map(Column::to_string).collect::<Vec<_>>().join(", ")
}

fn plural(columns: &[Column]) -> &'static str {
    if columns.len() == 1 { "" } else { "s" }
}

impl Reading {
    /// Reports how the file was interpreted, in at most five lines. [`notes`](Self::notes) has the warnings.
    pub fn lines(&self) -> Vec<String> {
        let separator = self.separator.map_or_else(String::new, |sign| format!(" separated by {sign:?}"));
        let encoding = self.encoding.as_ref().map_or_else(String::new, |encoding| format!(" in {encoding}"));
        let format = self.format.map_or_else(String::new, |format| format!("{format}{separator}{encoding}, "));
        let blank = match self.blank_lines {
            0 => String::new(),
            1 => ", 1 blank row left out".into(),
            lines => format!(", {lines} blank rows left out"),
        };
        let drawn = self.drawn_from.map_or_else(String::new, |all| format!(" drawn from {all}"));
        let header = if self.header { "a header" } else { "no header" };
        let mut lines = vec![format!("{format}{header} ({}); {} rows{drawn}{blank}", self.header_source, self.rows)];
        let joined = match (self.text.len(), self.pair) {
            (_, true) => ", a pair",
            (0 | 1, _) => "",
            _ => ", joined by a space",
        };
        lines.push(format!("text: column{} {}{joined} ({})", plural(&self.text), list(&self.text), self.text_reason()));
        let kind = match self.kind {
            LabelKind::Class => "a class".into(),
            LabelKind::Several { .. } if self.lists => "several labels, in lists".into(),
            LabelKind::Several { separator } => format!("several labels, separated by {separator:?}"),
            LabelKind::Number => "a number".into(),
        };
        if self.label_columns.is_empty() {
            lines.extend(
                self.label.iter().map(|label| format!("label: column {label}, {kind} ({})", self.label_reason())),
            );
        } else {
            let columns = list(&self.label_columns);
            lines.push(format!("labels: a column of 0 and 1 for each: {columns} ({})", self.label_reason()));
        }
        lines.extend(self.mapping.as_ref().map(|mapping| format!("labels: {mapping}")));
        if !self.carried.is_empty() {
            lines.push(format!("not read: column{} {}", plural(&self.carried), list(&self.carried)));
        }
        lines
    }

    /// Warnings about columns that leak the label, missing values, and a first or last row that may not be data.
    pub fn notes(&self) -> Vec<String> {
        let missing = |(count, first): &(usize, String)| match count {
            1 => format!("beware: 1 text is a missing value, {first:?}"),
            _ => format!("beware: {count} texts are a missing value, such as {first:?}"),
        };
        let unlabelled = |(count, class): &(usize, String)| {
            format!("beware: {count} rows have the class {class:?}: leave them out if it stands for a missing label")
        };
        let lone = |(line, class): &(u64, String)| {
            format!(
                "beware: line {line} alone has the class {class:?}: remove it if it is a second row of names, or a sum"
            )
        };
        let notes = self.leaks.iter().map(LabelLeak::to_string).chain(self.missing_texts.iter().map(missing));
        let notes = notes.chain(self.missing_labels.iter().map(unlabelled));
        notes.chain(self.lone_class.iter().map(lone)).collect()
    }

    /// Mapping from the labels in the file to the classes, as pairs. Empty if the labels are the class names.
    pub fn label_pairs(&self) -> &[(String, String)] {
        self.mapping.as_ref().map_or(&[], LabelMapping::pairs)
    }

    /// Describes the mapping from the labels in the file to the classes, such as "0 is bad, 1 is good". `None` if the
    /// labels are the class names.
    pub fn label_mapping(&self) -> Option<String> {
        self.mapping.as_ref().map(LabelMapping::to_string)
    }

    /// Returns whether numbers in the file were mapped to class names by position alone. An explicit mapping does not
    /// count.
    pub fn is_mapped_by_order(&self) -> bool {
        self.mapping.as_ref().is_some_and(LabelMapping::is_by_order)
    }

    /// Number of columns of the table.
    pub fn width(&self) -> usize {
        let labels = usize::from(self.label.is_some()).max(self.label_columns.len());
        labels + self.text.len() + self.carried.len()
    }

    fn label_reason(&self) -> String {
        let source = match self.label_source {
            LabelSource::Asked => "as asked",
            LabelSource::Training => "as in training",
            LabelSource::Name => "by its name",
            LabelSource::KnownLabels => "the only one that holds the training set's labels alone",
            LabelSource::OnlyRepeating => "the only one that repeats a few values",
            LabelSource::FewestValues => "a guess: the fewest different values",
        };
        match &*self.label_rivals {
            [] => source.into(),
            rivals => format!("{source}; column{} {} would fit as well", plural(rivals), list(rivals)),
        }
    }

    fn text_reason(&self) -> &'static str {
        match self.text_source {
            TextSource::Asked => "as asked",
            TextSource::Training => "as in training",
            TextSource::Name if self.pair => "by their names",
            TextSource::Name => "by its name",
            TextSource::OnlyWords if self.pair => "the only two that hold words",
            TextSource::OnlyWords => "the only one that holds words",
            TextSource::Found => "found",
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(label) = &self.label {
            write!(formatter, "label from column {label} ({}), ", self.label_reason())?;
        }
        let texts = plural(&self.text);
        write!(formatter, "text from column{texts} {} ({})", list(&self.text), self.text_reason())?;
        if !self.header {
            // Generated documentation pages contain these words.
            write!(formatter, ", no row of names")?;
        }
        self.leaks.iter().try_for_each(|leak| write!(formatter, "; {leak}"))
    }
}
