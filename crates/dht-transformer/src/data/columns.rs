//! The columns of a file, as they are asked for and as they were read.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A column by its name or by its index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Column {
    /// The column of this name in the header (or this key of a jsonl file).
    Name(String),
    /// The column of this number, the first is 0.
    Number(usize),
}

impl FromStr for Column {
    type Err = Infallible;

    /// Digits are a number, all else is a name.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.into()), Self::Number))
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

/// Whether the first row of a csv or tsv file names the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Header {
    /// It does if its cells are filled and different and one of them is `label`, `class` or `category` (in any case)
    /// or the name of a column that was asked for.
    #[default]
    Auto,
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// What the cells of a label column say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LabelKind {
    /// The one class of a text.
    #[default]
    Class,
    /// Any number of labels, separated by a sign; an empty cell has none.
    Several {
        /// The sign.
        separator: char,
    },
    /// A number.
    Number,
}

/// How the label's column was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LabelSource {
    /// It was asked for.
    #[default]
    Asked,
    /// It is called `label`, `class` or `category`.
    Name,
    /// No name tells: it is the leftmost column that holds the training set's labels alone.
    KnownLabels,
    /// No name tells: of the columns that repeat their values it has the fewest different ones.
    FewestValues,
}

/// Which columns a data set was read from, and how they were found. As text, a sentence that says all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// Whether the columns have names.
    pub header: bool,
    /// The label's column.
    pub label: Column,
    /// How it was found.
    #[serde(default)]
    pub label_source: LabelSource,
    /// Other columns that could have been the label by the same rule.
    #[serde(default)]
    pub label_rivals: Vec<Column>,
    /// What the label's cells say.
    #[serde(default)]
    pub kind: LabelKind,
    /// The texts' columns in the order they are joined in.
    pub text: Vec<Column>,
    /// Whether the texts' columns were asked for.
    #[serde(default)]
    pub text_asked: bool,
    /// Text columns whose repeated cells tell the label, or nearly do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub telling: Vec<Telling>,
}

/// A text column that tells the label, or nearly does: a written-out label, say, or a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telling {
    /// The column.
    pub column: Column,
    /// In how many of a hundred different rows the label is the most frequent one of the cell.
    pub percent: usize,
    /// How many different cells there are.
    pub values: usize,
}

impl fmt::Display for Columns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |columns: &[Column]| columns.iter().map(Column::to_string).collect::<Vec<_>>().join(", ");
        let source = match self.label_source {
            LabelSource::Asked => "as asked",
            LabelSource::Name => "by its name",
            LabelSource::KnownLabels => "a guess: it holds the training set's labels alone",
            LabelSource::FewestValues => "a guess: the fewest different values",
        };
        write!(formatter, "label from column {} ({source}", self.label)?;
        if !self.label_rivals.is_empty() {
            let plural = if self.label_rivals.len() == 1 { "" } else { "s" };
            write!(formatter, "; column{plural} {} would fit as well", list(&self.label_rivals))?;
        }
        let (plural, source) =
            (if self.text.len() == 1 { "" } else { "s" }, if self.text_asked { "as asked" } else { "found" });
        write!(formatter, "), text from column{plural} {} ({source})", list(&self.text))?;
        if !self.header {
            write!(formatter, ", no row of names")?;
        }
        for Telling { column, percent, values } in &self.telling {
            write!(formatter, "; beware: column {column} tells the label in {percent} of 100 rows by {values} values")?;
        }
        Ok(())
    }
}
