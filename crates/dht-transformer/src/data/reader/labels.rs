//! Conversion of the cells of a label column to classes or targets.

use std::collections::{BTreeMap, BTreeSet};

use super::cells::NULL;
use super::columns::Places;
use super::lines::Problem;
use super::lists::{excerpt, inside_brackets};
use super::request::TableRequest;
use super::row::Row;
use super::table::Table;
use crate::data::label_mapping::{LabelMapping, check_spellings, escaped};
use crate::data::reading::{Column, LabelKind};
use crate::error::{DataProblem, Result};

const LABELS_IN_ERRORS: usize = 20;
/// Label of a row whose class is not published, by convention of the Hugging Face hub.
pub(super) const HIDDEN: &str = "-1";
/// Characters that are tried as the true separator of labels, if no cell contains the expected separator.
const SEPARATORS: [char; 7] = [',', ';', '|', '#', '/', '+', '&'];
/// Minimum fraction of the filled cells that contain a character, if an error message is to suggest the character as
/// the separator of labels. A character that joins labels which also occur alone is suggested at any fraction.
const IN_MOST: f64 = 0.5;

/// Number of rows from which a label column is refused if over 90 % of its values are distinct.
const MANY: usize = 20;

/// Classes of a data set, and the class of each label that occurs in the label column of its table.
pub(super) struct Labels {
    pub(super) classes: Vec<String>,
    pub(super) mapping: Option<LabelMapping>,
    kind: LabelKind,
    place: usize,
    index: BTreeMap<String, usize>,
    /// Class names by class number, for a label column of numbers whose file names the classes.
    names: Option<Vec<String>>,
    /// `true` if a comma may be the decimal sign of a number, since another character separates the columns.
    has_decimal_comma: bool,
}

impl Labels {
    /// Reads the label column of a table and determines the classes. If the cells of the column were
    /// [lists](super::lists) of labels, `lists` is the label kind that follows from the lists.
    pub(super) fn read(
        table: &Table,
        places: &Places,
        request: &TableRequest,
        lists: Option<LabelKind>,
    ) -> Result<Self, Problem> {
        let kind = lists.or(request.kind).unwrap_or_default();
        let (place, explicit) = (places.label, &*request.mapping);
        let rows = &table.rows[usize::from(places.header_row)..];
        let declared = table.classes.get(&place).cloned();
        // Cells of a list already contain the class names.
        let is_list = table.lists.contains(&place);
        let names = declared.clone().filter(|_| kind == LabelKind::Class && !is_list);
        let has_decimal_comma = table.separator.is_some();
        let empty =
            Self { classes: Vec::new(), mapping: None, kind, place, index: BTreeMap::new(), names, has_decimal_comma };
        // For regression, the column has the name of the measured quantity.
        let name = match places.column(place) {
            Column::Name(name) => name,
            Column::Number(_) => "number".into(),
        };
        if kind == LabelKind::Number {
            let quantity = request.labels.as_ref().map_or(name, |labels| labels[0].clone());
            return Ok(Self { classes: vec![quantity], ..empty });
        }
        match kind {
            LabelKind::Several { .. } if lists.is_some() => {}
            LabelKind::Several { separator } => check_cells(rows, place, separator)?,
            _ => check_class_cells(rows, place)?,
        }
        let mut own = empty.own(rows, request.labels.as_deref())?;
        if let Some(declared) = declared.filter(|_| is_list && request.labels.is_none())
            && own.iter().all(|label| declared.contains(label))
        {
            own = declared;
        }
        let in_file = |problem| (None, problem);
        check_types(table, place).map_err(in_file)?;
        // An explicit mapping may map two spellings to one class, so they are checked after it.
        let mapped = empty.mapped(&own, explicit);
        check_spellings(&mapped).map_err(in_file)?;
        let (classes, mapping) = match &request.labels {
            None => {
                check_new_classes(&own, rows.len(), name, request.kind).map_err(in_file)?;
                let mapping = LabelMapping::from_pairs(explicit, &own, &mapped).map_err(in_file)?;
                (mapped, mapping)
            }
            Some(classes) => {
                let mapping = to_known(&own, classes, explicit, empty.names.is_some());
                (classes.clone(), mapping.map_err(|problem| (empty.line_of_unknown(rows, classes), problem))?)
            }
        };
        let class_of = |name: &str| classes.iter().position(|class| class == name);
        let mut index: BTreeMap<String, usize> = classes.iter().cloned().zip(0..).collect();
        for (label, class) in mapping.iter().flat_map(LabelMapping::pairs) {
            index.extend(class_of(class).map(|class| (label.clone(), class)));
        }
        Ok(Self { classes, mapping, index, ..empty })
    }

    /// Finds the first row with a label that is not literally a class name. Returns the row's line number.
    fn line_of_unknown(&self, rows: &[Row], classes: &[String]) -> Option<u64> {
        let unknown = |row: &&Row| self.labels_of(row).any(|label| !classes.iter().any(|class| class == label));
        rows.iter().find(unknown).map(|row| row.line)
    }

    /// Distinct labels in the label column. They are sorted by value if all are finite numbers, otherwise
    /// alphabetically. If the file names the classes of a number column, the labels are these names.
    fn own(&self, rows: &[Row], classes: Option<&[String]>) -> Result<Vec<String>, Problem> {
        if let Some(names) = &self.names {
            // Names that no row has are omitted if the model has other names: it may know only some of the classes.
            let occurs = |class: usize| rows.iter().any(|row| row.cell(self.place).parse() == Ok(class));
            let known = |name: &String| classes.is_some_and(|classes| classes.contains(name));
            let all = classes.is_none() || !names.iter().any(known);
            return Ok((0..)
                .zip(names)
                .filter(|(class, _)| all || occurs(*class))
                .map(|(_, name)| name.clone())
                .collect());
        }
        // A column that holds only -1 and 1 has two classes.
        let signs =
            rows.iter().flat_map(|row| self.labels_of(row)).collect::<BTreeSet<_>>() == BTreeSet::from([HIDDEN, "1"]);
        let hides = !signs
            && !classes.is_some_and(|classes| classes.iter().any(|class| class == HIDDEN))
            && (classes.is_some() || rows.iter().all(|row| row.cell(self.place) == HIDDEN));
        let mut labels: BTreeSet<&str> = BTreeSet::new();
        for row in rows {
            // Empty and secret labels are refused later, when their row is converted.
            for label in self.labels_of(row).filter(|label| !(label.is_empty() || hides && *label == HIDDEN)) {
                // Two labels with a lost character (U+FFFD) could become equal.
                if is_nan(label) || label == NULL || label.contains('\u{fffd}') {
                    return Err((Some(row.line), DataProblem::MissingLabel { label: label.into() }));
                }
                labels.insert(label);
            }
        }
        Ok(sorted(labels))
    }

    /// Distinct labels after the caller's label mapping is applied, in the order of [`own`](Self::own).
    fn mapped(&self, own: &[String], explicit: &[(String, String)]) -> Vec<String> {
        let class_of: BTreeMap<&str, &str> = explicit.iter().map(|(label, class)| (&**label, &**class)).collect();
        let mapped = own.iter().map(|label| class_of.get(&**label).copied().unwrap_or(label.as_str()));
        if self.names.is_none() && !explicit.is_empty() {
            return sorted(mapped.collect());
        }
        let mut seen = BTreeSet::new();
        mapped.filter(|label| seen.insert(*label)).map(str::to_owned).collect()
    }

    /// Splits the label cell of a row into labels, as written in the file.
    fn labels_of<'a>(&self, row: &'a Row) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        let cell = row.cell(self.place);
        match self.kind {
            LabelKind::Several { separator } => Box::new(several(cell, separator)),
            _ => Box::new(std::iter::once(cell)),
        }
    }

    fn class(&self, cell: &str) -> Result<usize, DataProblem> {
        let named = self.names.as_ref().and_then(|names| names.get(cell.parse::<usize>().ok()?));
        let label = named.map_or(cell, String::as_str);
        if let Some(&class) = self.index.get(label) {
            return Ok(class);
        }
        // By convention of the hub, -1 is a secret label, unless it is a class.
        if label == HIDDEN {
            return Err(DataProblem::HiddenLabel);
        }
        let mut known: Vec<&str> = self.classes.iter().map(String::as_str).take(LABELS_IN_ERRORS).collect();
        if self.classes.len() > LABELS_IN_ERRORS {
            known.push("…");
        }
        Err(DataProblem::UnknownLabel { label: label.into(), known: known.join(", ") })
    }

    /// Converts the label cell of a row to a class and targets. The targets are empty for single-label classification.
    /// The class is 0 for all other tasks.
    pub(super) fn of_row(&self, row: &Row) -> Result<(usize, Vec<f32>), DataProblem> {
        let cell = row.cell(self.place);
        match self.kind {
            LabelKind::Several { separator } => {
                let mut targets = vec![0.0; self.classes.len()];
                for label in several(cell, separator) {
                    targets[self.class(label)?] = 1.0;
                }
                Ok((0, targets))
            }
            _ if cell.is_empty() => Err(DataProblem::EmptyLabel),
            LabelKind::Class => Ok((self.class(cell)?, Vec::new())),
            LabelKind::Number => {
                let decimal = || self.has_decimal_comma.then(|| cell.replacen(',', ".", 1).parse().ok())?;
                let number = cell.parse().ok().or_else(decimal).filter(|number: &f32| number.is_finite());
                Ok((0, vec![number.ok_or_else(|| DataProblem::NotANumber { label: cell.into() })?]))
            }
        }
    }
}

/// Splits a multi-label cell at the separator. Empty labels are skipped.
pub(super) fn several(cell: &str, separator: char) -> impl Iterator<Item = &str> {
    cell.split(separator).map(str::trim).filter(|label| !label.is_empty())
}

fn sorted(labels: BTreeSet<&str>) -> Vec<String> {
    let number = |label: &str| label.parse().ok().filter(|value: &f64| value.is_finite());
    let numbers: Option<Vec<f64>> = labels.iter().map(|label| number(label)).collect();
    let mut sorted: Vec<String> = labels.into_iter().map(str::to_owned).collect();
    if let Some(numbers) = numbers {
        let mut order: Vec<(f64, String)> = numbers.into_iter().zip(sorted).collect();
        order.sort_by(|(left, _), (right, _)| left.total_cmp(right));
        sorted = order.into_iter().map(|(_, label)| label).collect();
    }
    sorted
}

/// Refuses multi-label cells that are lists in brackets or vectors of zeros and ones, or that seem to have another
/// separator.
fn check_cells(rows: &[Row], place: usize, separator: char) -> Result<(), Problem> {
    let filled = || rows.iter().map(|row| (row.line, row.cell(place))).filter(|(_, cell)| !cell.is_empty());
    if let Some((line, cell)) = filled().find(|(_, cell)| is_vector(cell, separator))
        && filled().all(|(_, other)| is_vector(other, separator))
    {
        return Err((Some(line), DataProblem::VectorCell { cell: excerpt(cell), separator }));
    }
    if let Some((line, cell)) = filled().find(|(_, cell)| inside_brackets(cell).is_some()) {
        return Err((Some(line), DataProblem::ListCell { cell: excerpt(cell), separator }));
    }
    if filled().any(|(_, cell)| cell.contains(separator)) {
        return Ok(());
    }
    let count = filled().count() as f64;
    let with = |sign: char| filled().filter(|(_, cell)| cell.contains(sign)).count();
    let other = SEPARATORS.into_iter().filter(|sign| *sign != separator).max_by_key(|sign| with(*sign));
    let alone: BTreeSet<&str> = filled().map(|(_, cell)| cell).collect();
    let joins = |sign: char| {
        let mut cells = filled().filter(|(_, cell)| cell.contains(sign)).peekable();
        cells.peek().is_some() && cells.all(|(_, cell)| cell.split(sign).all(|label| alone.contains(label.trim())))
    };
    match other.filter(|sign| count > 0.0 && (with(*sign) as f64 >= IN_MOST * count || joins(*sign))) {
        Some(other) => {
            Err((None, DataProblem::Separator { separator, other, cells: with(other), filled: count as usize }))
        }
        None => Ok(()),
    }
}

/// Refuses a column of classes in which every cell is a list or an object.
fn check_class_cells(rows: &[Row], place: usize) -> Result<(), Problem> {
    let is_nested = |cell: &str| inside_brackets(cell).is_some_and(|inside| inside.contains(['"', '\'']));
    let mut filled = rows.iter().map(|row| (row.line, row.cell(place))).filter(|(_, cell)| !cell.is_empty()).peekable();
    let Some((line, cell)) = filled.peek().map(|(line, cell)| (*line, (*cell).to_owned())) else { return Ok(()) };
    match filled.all(|(_, cell)| is_nested(cell)) {
        true => Err((Some(line), DataProblem::NestedCell { cell: excerpt(&cell) })),
        false => Ok(()),
    }
}

/// Returns whether a cell is a vector of several zeros and ones.
fn is_vector(cell: &str, separator: char) -> bool {
    let cell = inside_brackets(cell).unwrap_or(cell);
    let mut values = 0;
    let is_value = |value: &str| ["0", "1", "0.0", "1.0"].contains(&value.trim());
    cell.split([separator, ',']).inspect(|_| values += 1).all(is_value) && values > 1
}

/// Refuses a label column that mixes numbers, truth values and strings.
fn check_types(table: &Table, place: usize) -> Result<(), DataProblem> {
    match table.values.get(&place) {
        Some(
            [Some(first), Some(second), _] | [Some(first), None, Some(second)] | [None, Some(second), Some(first)],
        ) => {
            let second = second.trim_matches('"');
            Err(DataProblem::TwoTypes { number: first.clone(), string: escaped(second) })
        }
        _ => Ok(()),
    }
}

/// Refuses a label column that looks like measured values or free text, when its labels would become new classes.
/// Numbers with decimals are accepted if the caller requested a label kind.
fn check_new_classes(
    own: &[String],
    rows: usize,
    column: String,
    requested: Option<LabelKind>,
) -> Result<(), DataProblem> {
    if requested.is_none() && are_fractions(own) {
        let fraction = own.iter().find(|label| label.parse::<f64>().is_ok_and(|value| value.fract() != 0.0));
        return Err(DataProblem::FractionLabels { label: fraction.cloned().unwrap_or_default() });
    }
    let kind = requested.unwrap_or_default();
    if kind == LabelKind::Class && rows >= MANY && own.len() * 10 > rows * 9 {
        return Err(DataProblem::UniqueLabels { column, labels: own.len(), rows });
    }
    Ok(())
}

/// Maps the labels of a file to known classes. `numbered` is true if the labels are names that the file assigns to
/// class numbers.
fn to_known(
    own: &[String],
    classes: &[String],
    explicit: &[(String, String)],
    numbered: bool,
) -> Result<Option<LabelMapping>, DataProblem> {
    if explicit.is_empty() {
        return LabelMapping::new(own, classes, numbered);
    }
    // Labels without an explicit pair may match by name, if the match contradicts no explicit pair.
    LabelMapping::from_pairs(explicit, own, classes).or_else(|problem| {
        match (&problem, LabelMapping::new(own, classes, false)) {
            (DataProblem::OtherLabels { .. }, Ok(Some(mapping))) if mapping.agrees(explicit) => Ok(Some(mapping)),
            _ => Err(problem),
        }
    })
}

/// Returns whether all labels are numbers and some of them have decimals.
fn are_fractions(labels: &[String]) -> bool {
    let numbers: Option<Vec<f64>> = labels.iter().map(|label| label.parse().ok()).collect();
    numbers.is_some_and(|numbers| {
        numbers.len() > 2 && numbers.iter().any(|value| value.is_finite() && value.fract() != 0.0)
    })
}

pub(super) fn is_nan(cell: &str) -> bool {
    cell.eq_ignore_ascii_case("nan")
}
