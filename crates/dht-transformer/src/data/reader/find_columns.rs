//! Which column is the label and which are the texts.

use std::collections::{BTreeMap, BTreeSet};

use super::table::{Row, Table};
use crate::data::columns::{Column, Columns, Header, LabelKind, LabelSource, Telling};
use crate::error::DataProblem;

/// The names of a label column, the first found is taken.
const LABEL_NAMES: [&str; 3] = ["label", "class", "category"];
/// The names of columns that number the rows.
const INDEX_NAMES: [&str; 4] = ["index", "idx", "id", "guid"];
/// A column of more different values than this is no label unless it is named as one.
const MOST_LABELS: usize = 1000;
/// A text column tells the label if the most frequent label of a cell is the row's in this share of rows, and is noted from
/// this share on, ...
const TELLING_SHARE: f64 = 0.99;
const NOTED_SHARE: f64 = 0.9;
/// ... if that leaves at most this share of the errors of always taking the most frequent label, ...
const ERRORS_LEFT: f64 = 0.2;
/// ... and if chance would do so less often than this.
const TELLING_BY_CHANCE: f64 = 0.001;

/// What was asked for, `None` where it is to be found out.
pub(crate) struct Wanted<'a> {
    pub(crate) header: Header,
    pub(crate) label: Option<&'a Column>,
    pub(crate) text: Option<&'a [Column]>,
    /// The training set's labels.
    pub(crate) labels: Option<&'a [String]>,
}

/// Where the label and the texts stand, and whether the first row is a header.
pub(crate) struct Places {
    pub(crate) header_row: bool,
    pub(crate) label: usize,
    pub(crate) label_source: LabelSource,
    label_rivals: Vec<usize>,
    pub(crate) text: Vec<usize>,
    text_asked: bool,
    telling: Vec<Telling>,
    pub(crate) names: Option<Vec<String>>,
}

impl Places {
    pub(crate) fn columns(&self, kind: LabelKind) -> Columns {
        let column = |place: usize| match &self.names {
            Some(names) => Column::Name(names[place].clone()),
            None => Column::Number(place),
        };
        let columns = |places: &[usize]| places.iter().map(|&place| column(place)).collect();
        Columns {
            header: self.names.is_some(),
            label: column(self.label),
            label_source: self.label_source,
            label_rivals: columns(&self.label_rivals),
            kind,
            text: columns(&self.text),
            text_asked: self.text_asked,
            telling: self.telling.clone(),
        }
    }
}

/// A problem and the line it is on, if it is on one.
type Problem = (Option<u64>, DataProblem);

pub(crate) fn find_columns(table: &Table, wanted: &Wanted<'_>) -> Result<Places, Problem> {
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
    let (label_source, label, label_rivals) = match wanted.label {
        Some(column) => (LabelSource::Asked, search.place(column)?, Vec::new()),
        None => search.label(asked.as_deref().unwrap_or_default())?,
    };
    let text_asked = asked.is_some();
    let text = match asked {
        Some(places) => places,
        None => search.text(label)?,
    };
    let telling = search.telling(&text, label);
    let tells = |telling: &&Telling| telling.percent as f64 >= 100.0 * TELLING_SHARE;
    if let Some(Telling { column, percent, values }) = telling.iter().find(tells).filter(|_| !text_asked) {
        let (column, label) = (column.to_string(), search.column(label).to_string());
        return Err((None, DataProblem::TellsLabel { column, label, values: *values, percent: *percent }));
    }
    Ok(Places { header_row, label, label_source, label_rivals, text, text_asked, telling, names })
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
    /// With the other columns of which the same is true.
    fn label(&self, texts: &[usize]) -> Result<(LabelSource, usize, Vec<usize>), Problem> {
        // A column that was asked for as a text would tell the model what it is to guess.
        let others = || (0..self.table.width).filter(|place| !texts.contains(place));
        let first = |source, places: Vec<usize>| {
            let mut places = places.into_iter();
            places.next().map(|place| (source, place, places.collect()))
        };
        if let Some(names) = self.names {
            let called = |wanted: &'static str| others().filter(move |&place| names[place].to_lowercase() == wanted);
            if let Some(found) = first(LabelSource::Name, LABEL_NAMES.into_iter().flat_map(called).collect()) {
                return Ok(found);
            }
        }
        let candidates = || others().filter(|place| !self.table.nested.contains_key(place));
        if let Some(labels) = self.labels {
            let labels: BTreeSet<&str> = labels.iter().map(String::as_str).collect();
            let holds = |place: &usize| self.cells(*place).all(|cell| labels.contains(cell));
            if let Some(found) = first(LabelSource::KnownLabels, candidates().filter(holds).collect()) {
                return Ok(found);
            }
        }
        let mut repeating: Vec<(usize, usize)> =
            candidates().filter_map(|place| Some((self.repeated_values(place)?, place))).collect();
        repeating.sort_unstable();
        let places = repeating.into_iter().map(|(_, place)| place).collect();
        first(LabelSource::FewestValues, places).ok_or((None, DataProblem::NoLabelColumn))
    }

    /// A column as it is called.
    fn column(&self, place: usize) -> Column {
        self.names.map_or(Column::Number(place), |names| Column::Name(names[place].clone()))
    }

    /// The text columns whose cells tell the label, or nearly, as a written-out label or the name of a source does: at least
    /// half of the cells are repeated, and the label is nearly always the most frequent one of the cell. Rows that are alike
    /// in all their words count once: a file in which each row stands twice tells nothing, and neither does the only column.
    fn telling(&self, texts: &[usize], label: usize) -> Vec<Telling> {
        let numbers = |place: usize| self.cells(place).all(|cell| cell.is_empty() || cell.parse::<f64>().is_ok());
        let worded: Vec<usize> =
            (0..self.table.width).filter(|&place| place != label && !self.is_index(place) && !numbers(place)).collect();
        let (mut seen, mut rows) = (BTreeSet::new(), Vec::new());
        for row in &self.table.rows[self.first..] {
            let words: Vec<&str> = worded.iter().chain([&label]).map(|&place| row.cell(place)).collect();
            if seen.insert(words) {
                rows.push(row);
            }
        }
        texts.iter().filter_map(|&place| self.tells(&rows, place, label)).collect()
    }

    fn tells(&self, rows: &[&Row], place: usize, label: usize) -> Option<Telling> {
        let mut labels_of: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        let mut rows_of: BTreeMap<&str, usize> = BTreeMap::new();
        for (cell, label) in
            rows.iter().map(|row| (row.cell(place), row.cell(label))).filter(|(cell, _)| !cell.is_empty())
        {
            *labels_of.entry(cell).or_default().entry(label).or_default() += 1;
            *rows_of.entry(label).or_default() += 1;
        }
        let (filled, values) = (rows_of.values().sum::<usize>(), labels_of.len());
        let share = |count: usize| count as f64 / filled.max(1) as f64;
        let told = share(labels_of.values().filter_map(|labels| labels.values().max()).sum());
        let without = share(rows_of.values().copied().max().unwrap_or_default());
        // A repetition has the label of the cell's first row by chance as often as two rows have one label.
        let by_chance: f64 = rows_of.values().map(|&count| share(count).powi(2)).sum();
        let repeated = filled - values;
        let tells = 2 * repeated >= filled
            && told >= NOTED_SHARE
            && 1.0 - told <= ERRORS_LEFT * (1.0 - without)
            && by_chance.powf(repeated as f64) <= TELLING_BY_CHANCE;
        tells.then(|| Telling { column: self.column(place), percent: (100.0 * told).floor() as usize, values })
    }

    fn is_index(&self, place: usize) -> bool {
        self.names.is_some_and(|names| INDEX_NAMES.contains(&names[place].to_lowercase().as_str()))
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
            .filter(|&place| !self.is_index(place))
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
