//! Which column is the label and which are the texts.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::DataProblem;
use super::table::Table;

/// The names of a label column, the first found is taken.
const LABEL_NAMES: [&str; 3] = ["label", "class", "category"];
/// The names of columns that number the rows.
const INDEX_NAMES: [&str; 4] = ["index", "idx", "id", "guid"];
/// A column of more different values than this is no label unless it is named as one.
const MOST_LABELS: usize = 1000;

/// A column by its name or by its place.
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

/// Which columns a data set was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// Whether the columns have names.
    pub header: bool,
    /// The label's column.
    pub label: Column,
    /// What its cells say.
    #[serde(default)]
    pub kind: LabelKind,
    /// The texts' columns in the order they are joined in.
    pub text: Vec<Column>,
}

/// What was asked for, `None` where it is to be found out.
pub(super) struct Wanted<'a> {
    pub(super) header: Header,
    pub(super) label: Option<&'a Column>,
    pub(super) text: Option<&'a [Column]>,
    /// The training set's labels.
    pub(super) labels: Option<&'a [String]>,
}

/// Where the label and the texts stand, and whether the first row is a header.
pub(super) struct Places {
    pub(super) header_row: bool,
    pub(super) label: usize,
    pub(super) text: Vec<usize>,
    pub(super) names: Option<Vec<String>>,
}

impl Places {
    pub(super) fn columns(&self, kind: LabelKind) -> Columns {
        let column = |place: usize| match &self.names {
            Some(names) => Column::Name(names[place].clone()),
            None => Column::Number(place),
        };
        Columns {
            header: self.names.is_some(),
            label: column(self.label),
            kind,
            text: self.text.iter().map(|&place| column(place)).collect(),
        }
    }
}

/// A problem and the line it is on, if it is on one.
type Problem = (Option<u64>, DataProblem);

pub(super) fn find_columns(table: &Table, wanted: &Wanted<'_>) -> Result<Places, Problem> {
    let header_row = table.keys.is_none() && has_header(table, wanted);
    let names = match &table.keys {
        Some(keys) => Some(keys.clone()),
        None if header_row => Some((0..table.width).map(|place| table.rows[0].cell(place).to_owned()).collect()),
        None => None,
    };
    if header_row && let Some(names) = &names {
        let mut seen = BTreeSet::new();
        if let Some(name) = names.iter().find(|name| !seen.insert(*name)) {
            return Err((Some(table.rows[0].line), DataProblem::DuplicateColumn { column: name.clone() }));
        }
    }
    if table.rows.len() == usize::from(header_row) {
        return Err((None, DataProblem::NoRows));
    }

    let search = Search { table, first: usize::from(header_row), names: names.as_deref(), labels: wanted.labels };
    let asked = wanted.text.map(|columns| columns.iter().map(|column| search.place(column)).collect()).transpose()?;
    let label = match wanted.label {
        Some(column) => search.place(column)?,
        None => search.label(asked.as_deref().unwrap_or_default())?,
    };
    let text = match asked {
        Some(places) => places,
        None => search.text(label)?,
    };
    Ok(Places { header_row, label, text, names })
}

fn has_header(table: &Table, wanted: &Wanted<'_>) -> bool {
    let Some(first) = table.rows.first() else { return false };
    match wanted.header {
        Header::Yes => true,
        Header::No => false,
        Header::Auto => {
            let cells: BTreeSet<&str> = (0..table.width).map(|place| first.cell(place)).collect();
            let asked = wanted.label.into_iter().chain(wanted.text.unwrap_or_default());
            let mut asked_names = asked.filter_map(|column| match column {
                Column::Name(name) => Some(name.as_str()),
                Column::Number(_) => None,
            });
            cells.len() == table.width
                && !cells.contains("")
                && (asked_names.any(|name| cells.contains(name))
                    || cells.iter().any(|cell| LABEL_NAMES.contains(&cell.to_lowercase().as_str())))
        }
    }
}

struct Search<'a> {
    table: &'a Table,
    /// The first row that is not the header.
    first: usize,
    names: Option<&'a [String]>,
    labels: Option<&'a [String]>,
}

impl Search<'_> {
    fn place(&self, column: &Column) -> Result<usize, Problem> {
        let place = match column {
            Column::Number(number) => Some(*number).filter(|&number| number < self.table.width),
            Column::Name(name) => self.names.and_then(|names| names.iter().position(|known| known == name)),
        };
        place.ok_or_else(|| {
            let known = match self.names {
                Some(names) => names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "),
                None => format!("{} columns without names, the first is 0", self.table.width),
            };
            (None, DataProblem::UnknownColumn { column: column.to_string(), known })
        })
    }

    fn cells(&self, place: usize) -> impl Iterator<Item = &str> {
        self.table.rows[self.first..].iter().map(move |row| row.cell(place))
    }

    /// Named as a label; else the leftmost column that holds the training set's labels only; else the column with the
    /// fewest values that has one in every row, each at least twice, at least two and at most [`MOST_LABELS`] of them.
    fn label(&self, texts: &[usize]) -> Result<usize, Problem> {
        if let Some(names) = self.names {
            // A column that was asked for as a text would tell the model what it is to guess.
            let place = |wanted: &&str| {
                let is = |(place, name): (usize, &String)| !texts.contains(&place) && name.to_lowercase() == **wanted;
                names.iter().enumerate().position(is)
            };
            let named = LABEL_NAMES.iter().find_map(place);
            if let Some(place) = named {
                return Ok(place);
            }
        }
        let candidates =
            || (0..self.table.width).filter(|place| !texts.contains(place) && !self.table.nested.contains_key(place));
        if let Some(labels) = self.labels {
            let labels: BTreeSet<&str> = labels.iter().map(String::as_str).collect();
            if let Some(place) = candidates().find(|&place| self.cells(place).all(|cell| labels.contains(cell))) {
                return Ok(place);
            }
        }
        candidates()
            .filter_map(|place| Some((self.repeated_values(place)?, place)))
            .min()
            .map(|(_, place)| place)
            .ok_or((None, DataProblem::NoLabelColumn))
    }

    fn repeated_values(&self, place: usize) -> Option<usize> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for cell in self.cells(place) {
            *counts.entry(cell).or_default() += 1;
            if cell.is_empty() || counts.len() > MOST_LABELS {
                return None;
            }
        }
        (counts.len() >= 2 && counts.values().all(|&count| count >= 2)).then_some(counts.len())
    }

    /// All columns but the label's in which some cell holds more than one word; when there is none, all that do not
    /// number the rows, neither by name nor by holding numbers only.
    fn text(&self, label: usize) -> Result<Vec<usize>, Problem> {
        let candidates: Vec<usize> = (0..self.table.width)
            .filter(|place| *place != label && !self.table.nested.contains_key(place))
            .filter(|&place| {
                self.names.is_none_or(|names| !INDEX_NAMES.contains(&names[place].to_lowercase().as_str()))
            })
            .collect();
        let choose = |keep: fn(&str) -> bool| -> Vec<usize> {
            candidates.iter().copied().filter(|&place| self.cells(place).any(keep)).collect()
        };
        let mut places = choose(|cell| cell.contains(char::is_whitespace));
        if places.is_empty() {
            places = choose(|cell| !cell.is_empty() && cell.parse::<f64>().is_err());
        }
        if places.is_empty() { Err((None, DataProblem::NoTextColumn)) } else { Ok(places) }
    }
}
