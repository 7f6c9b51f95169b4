//! Detection of the label column and the text columns of a table.

use std::collections::{BTreeMap, BTreeSet};

use super::cells::{is_date, is_missing, is_number, is_whole, is_words};
use super::header::{Decision, decide, is_header_again};
use super::lines::Problem;
use super::names::{BESIDE, CATEGORIES, INDEX, LABEL, PAIRS, TEXT, is_called, is_one_of, place_of};
use super::request::TableRequest;
use super::row::Row;
use super::table::Table;
use crate::data::reading::{Column, HeaderSource, LabelLeak, LabelSource, TextSource};
use crate::error::DataProblem;

/// Maximum number of distinct values in a detected label column. A column whose name is usual for a label may have
/// more.
const MOST_LABELS: usize = 1000;
/// Minimum accuracy at which a text column is reported as a label leak, as a fraction of its filled cells. Each cell
/// predicts the most frequent label among rows with the same cell.
const TELLING_SHARE: f64 = 0.9;
/// Maximum error at which a text column is reported as a label leak, as a fraction of the error of always predicting
/// the most frequent label.
const ERRORS_LEFT: f64 = 0.2;
/// Maximum probability for a label leak that repeated cells agree with the label by chance. A text column with a higher
/// probability is not reported.
const TELLING_BY_CHANCE: f64 = 0.001;

/// Header, label column and text columns of a table, as detected or requested. Columns are identified by index.
pub(crate) struct Places {
    pub(crate) header_row: bool,
    pub(crate) header_source: HeaderSource,
    pub(crate) label: usize,
    pub(crate) label_source: LabelSource,
    pub(crate) label_rivals: Vec<usize>,
    /// Columns of zeros and ones, one for each label of multi-label data. The field `label` then holds the first of
    /// these columns.
    pub(crate) label_columns: Vec<usize>,
    pub(crate) text: Vec<usize>,
    pub(crate) text_source: TextSource,
    pub(crate) leaks: Vec<LabelLeak>,
    pub(crate) names: Option<Vec<String>>,
}

impl Places {
    /// Identifies the column at an index by its name, or by its number if it has no name.
    pub(crate) fn column(&self, place: usize) -> Column {
        column(self.names.as_deref(), place)
    }

    pub(super) fn columns(&self, places: &[usize]) -> Vec<Column> {
        places.iter().map(|place| self.column(*place)).collect()
    }

    /// Checks that a text pair has exactly two columns, and that all cells of the label and text columns are texts,
    /// numbers or truth values.
    pub(super) fn check(&self, table: &Table, pair: bool) -> Result<(), Problem> {
        if pair && self.text.len() != 2 {
            return Err((None, DataProblem::PairColumns { got: self.text.len() }));
        }
        for place in self.text.iter().chain([&self.label]) {
            let Some(&line) = table.nested.get(place) else { continue };
            let column = table.keys.as_ref().map(|keys| keys[*place].clone()).unwrap_or_default();
            return Err(match table.types.get(place) {
                Some(got) => (None, DataProblem::ColumnType { column, got: got.clone() }),
                None => (Some(line), DataProblem::NestedValue { column }),
            });
        }
        Ok(())
    }
}

fn column(names: Option<&[String]>, place: usize) -> Column {
    let name = names.map(|names| names[place].clone()).filter(|name| !name.is_empty());
    name.map_or(Column::Number(place), Column::Name)
}

/// Detects the header, the label column and the text columns of a table, or looks up the requested columns.
pub(super) fn find_columns(table: &Table, request: &TableRequest) -> Result<Places, Problem> {
    let (header_row, header_source) = find_header(table, request)?;
    let names = column_names(table, header_row)?;
    if table.rows.len() == usize::from(header_row) {
        return Err((None, DataProblem::NoRows));
    }
    // Column numbers of the training set mean other columns in a table of another width.
    let expected = request.training.map(|training| training.width).filter(|expected| *expected != table.width);
    if let Some(expected) = expected
        && names.is_none()
        && request.text_of_training
    {
        return Err((first_line(table), DataProblem::OtherWidth { expected, got: table.width }));
    }
    let (first, labels) = (usize::from(header_row), request.labels.as_deref());
    let search = Search { table, first, names: names.as_deref(), labels };
    let asked = request.text.as_ref().map(|columns| columns.iter().map(|column| search.place(column)).collect());
    let asked: Option<Vec<usize>> = asked.transpose()?;
    // Text columns cannot be detected as the label.
    let texts = asked.clone().unwrap_or_else(|| search.named_texts(request.pair));
    let label_columns: Vec<usize> =
        request.label_columns.iter().map(|column| search.place(column)).collect::<Result<_, _>>()?;
    if let Some(again) = (1..label_columns.len()).find(|at| label_columns[..*at].contains(&label_columns[*at])) {
        return Err((None, DataProblem::DuplicateColumn { column: request.label_columns[again].to_string() }));
    }
    let source = if request.label_of_training { LabelSource::Training } else { LabelSource::Asked };
    let (label_source, label, label_rivals) = match &request.label {
        _ if !label_columns.is_empty() => (source, label_columns[0], Vec::new()),
        Some(column) if request.label_of_training => (LabelSource::Training, search.place(column)?, Vec::new()),
        Some(column) => (LabelSource::Asked, search.place(column)?, Vec::new()),
        None => search.label(&texts)?,
    };
    let (text_source, text) = match asked {
        Some(places) if request.text_of_training => (TextSource::Training, places),
        Some(places) => (TextSource::Asked, places),
        None => search.text(label, request.pair)?,
    };
    // Repeated cells of a single text column are repeated texts, not a leak.
    let leaks = if text.len() > 1 { search.leaks(&text, label) } else { Vec::new() };
    Ok(Places {
        header_row,
        header_source,
        label,
        label_source,
        label_rivals,
        label_columns,
        text,
        text_source,
        leaks,
        names,
    })
}

fn first_line(table: &Table) -> Option<u64> {
    table.rows.first().map(|row| row.line)
}

/// Detects whether the table has a header, and returns the reason for the decision. Refuses a csv or tsv table of one
/// column, since it has no label column.
fn find_header(table: &Table, request: &TableRequest) -> Result<Decision, Problem> {
    if table.keys.is_some() {
        return Ok((false, HeaderSource::Format));
    }
    if table.width == 1 {
        return Err((first_line(table), one_column(table)));
    }
    let asked: Vec<&Column> =
        request.label.iter().chain(&request.label_columns).chain(request.text.iter().flatten()).collect();
    let expected = request.training.map(|training| training.header);
    decide(table, request.header, expected, &asked).map_err(|problem| (first_line(table), problem))
}

/// Reads the column names of a table; `None` for a csv or tsv table without a header.
fn column_names(table: &Table, header_row: bool) -> Result<Option<Vec<String>>, Problem> {
    if !header_row {
        return Ok(table.keys.clone());
    }
    let names: Vec<String> = (0..table.width).map(|place| table.rows[0].cell(place).to_owned()).collect();
    check_header(table, &names)?;
    Ok(Some(names))
}

/// Creates the error for a csv or tsv table of one column. The message suggests the separator that occurs in most rows.
fn one_column(table: &Table) -> DataProblem {
    let with = |sign: char| table.rows.iter().filter(|row| row.cell(0).contains(sign)).count();
    let other = [';', '\t', '|', ','].into_iter().max_by_key(|sign| with(*sign));
    let other = other.filter(|sign| 2 * with(*sign) > table.rows.len());
    DataProblem::OneColumn { other: other.map_or_else(String::new, |sign| format!(", and most have {sign:?}")) }
}

/// Checks that no column name occurs twice, and that no later row repeats the header.
fn check_header(table: &Table, names: &[String]) -> Result<(), Problem> {
    let line = table.rows[0].line;
    let mut seen = BTreeSet::new();
    if let Some(name) = names.iter().find(|name| !name.is_empty() && !seen.insert(*name)) {
        return Err((Some(line), DataProblem::DuplicateColumn { column: name.clone() }));
    }
    match table.rows[1..].iter().find(|row| is_header_again(row, &table.rows[0], table.width)) {
        Some(row) => Err((Some(row.line), DataProblem::HeaderAgain { first: line })),
        None => Ok(()),
    }
}

struct Search<'a> {
    table: &'a Table,
    first: usize,
    names: Option<&'a [String]>,
    labels: Option<&'a [String]>,
}

impl Search<'_> {
    fn place(&self, column: &Column) -> Result<usize, Problem> {
        let named = |name: &str| self.names.and_then(|names| place_of(names, name));
        let place = match column {
            // A number that is the name of a column means that column, since messages identify columns by name.
            Column::Number(number) => {
                named(&number.to_string()).or(Some(*number).filter(|&number| number < self.table.width))
            }
            Column::Name(name) => named(name),
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

    fn name(&self, place: usize) -> &str {
        self.names.map_or("", |names| names[place].as_str())
    }

    /// Returns whether the table has a header with an empty name for this column. Such a column is not used as label or
    /// text.
    fn is_unnamed(&self, place: usize) -> bool {
        self.names.is_some_and(|names| names[place].is_empty())
    }

    fn called(&self, name: &str) -> Vec<usize> {
        (0..self.table.width).filter(|place| is_called(self.name(*place), name)).collect()
    }

    fn columns(&self, places: &[usize]) -> String {
        let columns: Vec<String> = places.iter().map(|place| column(self.names, *place).to_string()).collect();
        columns.join(", ")
    }

    /// Detects the label column. The first of these rules that applies decides:
    ///
    /// 1. The column has the name of a label column.
    /// 2. The column is the only one that holds nothing but labels of the training set.
    /// 3. The column is the only one with a value in every row and 2 to [`MOST_LABELS`] distinct values, each of which
    ///    occurs at least twice.
    fn label(&self, texts: &[usize]) -> Result<(LabelSource, usize, Vec<usize>), Problem> {
        // A text column would leak the label to the model, so it is not a candidate.
        let others = || (0..self.table.width).filter(|place| !texts.contains(place) && !self.is_unnamed(*place));
        let is_flag = |place: &usize| self.cells(*place).all(|cell| cell == "0" || cell == "1");
        let ambiguous = |places: &[usize]| {
            let columns = self.columns(places);
            match places.iter().all(is_flag) {
                true => (None, DataProblem::FlagColumns { columns }),
                false => (None, DataProblem::LabelColumns { columns }),
            }
        };
        let scores = |place: &usize| is_called(self.name(*place), CATEGORIES) && self.table.nested.contains_key(place);
        let is_named = |place: &usize| is_one_of(self.name(*place), &LABEL) || scores(place);
        let named: Vec<usize> = others().filter(is_named).collect();
        let label: Vec<usize> = named.iter().copied().filter(|place| is_called(self.name(*place), LABEL[0])).collect();
        match (&*label, &*named) {
            (&[only], _) | ([], &[only]) => {
                let rivals = named.into_iter().filter(|place| *place != only).collect();
                return Ok((LabelSource::Name, only, rivals));
            }
            ([], []) => {}
            ([], several) | (several, _) => return Err(ambiguous(several)),
        }
        let candidates = || others().filter(|place| !self.table.nested.contains_key(place) && !self.is_index(*place));
        if let Some(labels) = self.labels {
            let labels: BTreeSet<&str> = labels.iter().map(String::as_str).collect();
            let holds = |place: &usize| self.cells(*place).all(|cell| labels.contains(cell));
            match &*candidates().filter(holds).collect::<Vec<_>>() {
                [] => {}
                [only] => return Ok((LabelSource::KnownLabels, *only, Vec::new())),
                several => return Err(ambiguous(several)),
            }
        }
        // A candidate must leave another column for the text.
        let leaves_text = |label: &usize| others().any(|place| place != *label && self.cells(place).any(is_words));
        let dates = |place: usize| self.cells(place).all(|cell| is_date(cell) && !is_whole(cell));
        let fits = |place: &usize| !dates(*place) && (!texts.is_empty() || leaves_text(place));
        let repeating: Vec<usize> = candidates().filter(|place| self.repeats(*place) && fits(place)).collect();
        // Real labels have gaps and rare classes. Where a column nearly repeats, a complete column must not replace it
        // unnoticed.
        let nearly: Vec<usize> = candidates().filter(|place| self.nearly_repeats(*place) && fits(place)).collect();
        let uncertain = |place: usize, reason| {
            let column = column(self.names, place).to_string();
            Err((None, DataProblem::UncertainLabel { column, reason }))
        };
        match (&*repeating, &*nearly) {
            ([only], []) if is_one_of(self.name(*only), &BESIDE) => {
                uncertain(*only, "a column of such a name often stands beside a label")
            }
            ([only], []) => Ok((LabelSource::OnlyRepeating, *only, Vec::new())),
            ([], [only]) => uncertain(*only, "some rows have no value there, or one that no other row has"),
            ([], []) => Err((None, DataProblem::NoLabelColumn { nested: self.nested() })),
            _ => Err(ambiguous(&[repeating, nearly].concat())),
        }
    }

    /// Formats the names of the columns that contain arrays or objects, as the end of the error message about a missing
    /// label column.
    fn nested(&self) -> String {
        let places: Vec<usize> = self.table.nested.keys().copied().collect();
        match self.columns(&places) {
            none if none.is_empty() => none,
            columns => format!("; arrays or objects, which are not read, are in {columns}"),
        }
    }

    fn is_index(&self, place: usize) -> bool {
        is_one_of(self.name(place), &INDEX)
    }

    fn repeats(&self, place: usize) -> bool {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for cell in self.cells(place) {
            *counts.entry(cell).or_default() += 1;
            if cell.is_empty() || counts.len() > MOST_LABELS {
                return false;
            }
        }
        counts.len() >= 2 && counts.values().all(|&count| count >= 2)
    }

    /// Returns whether a column repeats a few values in nearly all rows, so that it may be the label although it is not
    /// detected as such. At least half of the rows must have a value, and at least two values must occur twice. Of the
    /// rows with a value, nine in ten must have a value that occurs at least twice.
    fn nearly_repeats(&self, place: usize) -> bool {
        if self.repeats(place) {
            return false;
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let filled = self.cells(place).filter(|cell| !cell.is_empty() && !is_missing(cell));
        filled.for_each(|cell| *counts.entry(cell).or_default() += 1);
        let (filled, rows): (usize, usize) = (counts.values().sum(), self.table.rows.len() - self.first);
        let often = counts.values().filter(|count| **count >= 2);
        let (values, covered) = often.fold((0, 0), |(values, covered), count| (values + 1, covered + count));
        counts.len() <= MOST_LABELS && 2 * filled >= rows && values >= 2 && 10 * covered >= 9 * filled
    }

    /// Finds two columns with the names of a text pair, such as `premise` and `hypothesis`.
    fn named_pair(&self) -> Option<[usize; 2]> {
        PAIRS.iter().find_map(|names| match names.map(|name| self.called(name)) {
            [first, second] if first.len() == 1 && second.len() == 1 => Some([first[0], second[0]]),
            _ => None,
        })
    }

    /// Finds the text columns by name. The result is empty if no column has a usual name, or if the names are
    /// ambiguous.
    fn named_texts(&self, pair: bool) -> Vec<usize> {
        if pair {
            return self.named_pair().map_or_else(Vec::new, Vec::from);
        }
        match (&*self.called(TEXT[0]), &*self.others_named()) {
            ([only], _) | ([], [only]) => vec![*only],
            _ => Vec::new(),
        }
    }

    /// Finds the columns with a usual name of a text column other than `text`, such as `review`.
    fn others_named(&self) -> Vec<usize> {
        (0..self.table.width).filter(|place| is_one_of(self.name(*place), &TEXT[1..])).collect()
    }

    /// Detects the text columns: by name, otherwise as the only columns that contain words.
    fn text(&self, label: usize, pair: bool) -> Result<(TextSource, Vec<usize>), Problem> {
        let ambiguous = |places: &[usize]| Err((None, DataProblem::TextColumns { columns: self.columns(places) }));
        let named: Vec<usize> = self.named_texts(pair);
        if !named.is_empty() && !named.contains(&label) {
            // A column `sentence` next to a column `question` is one half of a pair.
            let half = self.named_pair().filter(|both| !pair && both.contains(&named[0]) && !self.is_text(named[0]));
            // A column that contains only numbers or addresses is not a text, whatever its name.
            let words = |place: &usize| self.cells(*place).any(is_words);
            let sentences = |place: &usize| self.cells(*place).any(|cell| cell.contains(' ') && is_words(cell));
            let better = |place: &usize| *place != label && !self.is_index(*place) && sentences(place);
            return match half {
                Some(both) => ambiguous(&both),
                None if named.iter().any(words) => Ok((TextSource::Name, named)),
                None => match (0..self.table.width).filter(better).collect::<Vec<_>>() {
                    others if others.is_empty() => Ok((TextSource::Name, named)),
                    others => ambiguous(&[named, others].concat()),
                },
            };
        }
        let candidates: Vec<usize> = (0..self.table.width)
            .filter(|place| *place != label && !self.table.nested.contains_key(place))
            .filter(|place| !self.is_index(*place) && !self.is_unnamed(*place))
            .collect();
        let several: Vec<usize> =
            candidates.iter().copied().filter(|place| is_one_of(self.name(*place), &TEXT)).collect();
        if several.len() > 1 && !pair {
            return ambiguous(&several);
        }
        let with = |keep: &dyn Fn(&str) -> bool| -> Vec<usize> {
            candidates.iter().copied().filter(|place| self.cells(*place).any(keep)).collect()
        };
        let mut places = with(&|cell| cell.contains(char::is_whitespace) && is_words(cell));
        if places.is_empty() {
            places = with(&is_words);
        }
        if places.is_empty() {
            places = with(&|cell| !cell.is_empty() && !is_number(cell) && !is_date(cell));
        }
        match places.len() {
            0 => Err((None, DataProblem::NoTextColumn)),
            1 if !pair => Ok((TextSource::OnlyWords, places)),
            2 if pair => Ok((TextSource::OnlyWords, places)),
            1 => Err((None, DataProblem::PairColumns { got: 1 })),
            _ => ambiguous(&places),
        }
    }

    fn is_text(&self, place: usize) -> bool {
        is_called(self.name(place), TEXT[0])
    }

    /// Finds text columns that leak the label, such as a written-out label or the name of a source.
    ///
    /// At least half of the cells of such a column are repeated, and the most frequent label among rows with the same
    /// cell is nearly always correct. Rows with identical words count once, so that a file that contains each row twice
    /// is not reported.
    fn leaks(&self, texts: &[usize], label: usize) -> Vec<LabelLeak> {
        let numbers = |place: usize| self.cells(place).all(|cell| cell.is_empty() || is_number(cell));
        let worded: Vec<usize> =
            (0..self.table.width).filter(|&place| place != label && !self.is_index(place) && !numbers(place)).collect();
        let (mut seen, mut rows) = (BTreeSet::new(), Vec::new());
        for row in &self.table.rows[self.first..] {
            let words: Vec<&str> = worded.iter().chain([&label]).map(|&place| row.cell(place)).collect();
            if seen.insert(words) {
                rows.push(row);
            }
        }
        texts.iter().filter_map(|&place| self.leak(&rows, place, label)).collect()
    }

    fn leak(&self, rows: &[&Row], place: usize, label: usize) -> Option<LabelLeak> {
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
        // A repeated cell has the label of the cell's first row by chance as often as two random rows have the same
        // label.
        let by_chance: f64 = rows_of.values().map(|&count| share(count).powi(2)).sum();
        let repeated = filled - values;
        let tells = 2 * repeated >= filled
            && told >= TELLING_SHARE
            && 1.0 - told <= ERRORS_LEFT * (1.0 - without)
            && by_chance.powf(repeated as f64) <= TELLING_BY_CHANCE;
        let percent = (100.0 * told).floor() as usize;
        tells.then(|| LabelLeak { column: column(self.names, place), percent, values })
    }
}
