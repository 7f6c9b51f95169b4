//! Removal of test rows that cannot be scored: rows without a label, or with a label that is not a class of the model.

use std::collections::{BTreeMap, BTreeSet};

use super::cells::NULL;
use super::labels::{HIDDEN, is_nan, several};
use super::request::TableRequest;
use super::table::Table;
use crate::data::reading::LabelKind;

/// Numbers of rows that [`leave_out`] removed, by cause.
#[derive(Debug, Default, PartialEq)]
pub(super) struct LeftOutRows {
    pub(super) unlabelled: usize,
    /// Labels that are not classes of the model, each with its number of rows, the most frequent first.
    pub(super) unknown: Vec<(String, usize)>,
}

/// Minimum fraction of the labelled rows whose label is a known class. A file with a smaller fraction is for another
/// task, and is refused as a whole.
const LEAST_KNOWN: f64 = 0.5;

/// Removes rows without a label, and rows whose label is neither a known class nor mapped to one. `place` is the index
/// of the label column, and `header` is the number of header rows, which are not removed.
pub(super) fn leave_out(
    table: &mut Table,
    place: usize,
    header: usize,
    request: &TableRequest,
    kind: LabelKind,
) -> LeftOutRows {
    let mut left_out = LeftOutRows::default();
    let (true, Some(classes), Some(rows)) = (request.skips_unlabelled, &request.labels, table.rows.get(header..))
    else {
        return left_out;
    };
    // A column that holds only -1 and 1 has two classes, as in training.
    let signs = BTreeSet::from([HIDDEN, "1"]);
    if kind == LabelKind::Class && rows.iter().map(|row| row.cell(place)).collect::<BTreeSet<_>>() == signs {
        return left_out;
    }
    let spelled = |label: &str| label.trim().to_lowercase();
    let known: BTreeSet<String> =
        classes.iter().chain(request.mapping.iter().map(|(own, _)| own)).map(|label| spelled(label)).collect();
    let is_unlabelled = |cell: &str| {
        let hides = cell == HIDDEN && kind == LabelKind::Class && !known.contains(HIDDEN);
        let is_empty = cell.is_empty() && !matches!(kind, LabelKind::Several { .. });
        is_empty || hides || is_nan(cell) || cell == NULL
    };
    // In a column whose class numbers have names, an unknown number is not a label that a model could lack.
    let is_named = table.classes.contains_key(&place) && !table.lists.contains(&place);
    let unknown_of = |cell: &str| -> Option<String> {
        let labels: Vec<&str> = match kind {
            LabelKind::Number => return None,
            LabelKind::Class => vec![cell],
            LabelKind::Several { separator } => several(cell, separator).collect(),
        };
        labels.into_iter().find(|label| !known.contains(&spelled(label))).map(str::to_owned)
    };
    let mut unknown: BTreeMap<String, usize> = BTreeMap::new();
    for cell in rows.iter().map(|row| row.cell(place)) {
        if is_unlabelled(cell) {
            left_out.unlabelled += 1;
        } else if let Some(label) = unknown_of(cell) {
            *unknown.entry(label).or_default() += 1;
        }
    }
    let labelled = rows.len() - left_out.unlabelled;
    let known_rows = labelled - unknown.values().sum::<usize>();
    let leaves_unknown = !is_named && known_rows as f64 >= LEAST_KNOWN * labelled as f64 && known_rows > 0;
    if leaves_unknown {
        left_out.unknown = unknown.into_iter().collect();
        left_out.unknown.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
    }
    if labelled == 0 {
        // The reader refuses the file later, and states the reason.
        return LeftOutRows::default();
    }
    if left_out == LeftOutRows::default() {
        return left_out;
    }
    let mut index = 0;
    table.rows.retain(|row| {
        index += 1;
        let cell = row.cell(place);
        index <= header || !(is_unlabelled(cell) || leaves_unknown && unknown_of(cell).is_some())
    });
    left_out
}

#[cfg(test)]
mod tests {
    use crate::data::dataset::Dataset;
    use crate::data::reader::DatasetReader;
    use crate::error::Result;

    fn read(file: &str) -> Result<Dataset> {
        DatasetReader::new().with_labels(["bad", "good"]).skip_unlabelled().read_from("rows.csv", file.as_bytes())
    }

    #[test]
    fn rows_without_a_known_label_are_counted() -> Result<()> {
        let file =
            "label,text\ngood,a b\ngood,a c\nodd,a d\nbad,a e\n,a f\nodd,a g\n<b>,a h\nnan,a i\nbad,a j\n-1,a k\n";
        let data = read(file)?;
        let texts: Vec<&str> = data.examples.iter().map(|row| &*row.text).collect();
        assert_eq!(texts, ["a b", "a c", "a e", "a j"]);
        let reading = data.reading.expect("a reading");
        assert_eq!((reading.unlabelled_rows, reading.rows), (3, 4));
        assert_eq!(reading.unknown_labels, [("odd".into(), 2), ("<b>".into(), 1)]);
        Ok(())
    }

    #[test]
    fn other_labels_and_no_labels_are_refused_as_before() {
        for file in ["label,text\nyes,a b\nno,a c\ngood,a d\n", "label,text\n,a b\n,a c\n", "label,text\nodd,a b\n"] {
            let strict = DatasetReader::new().with_labels(["bad", "good"]).read_from("rows.csv", file.as_bytes());
            let (lenient, strict) = (read(file).map_err(|e| e.to_string()), strict.map_err(|e| e.to_string()));
            assert!(lenient.is_err() && lenient == strict, "{lenient:?} and {strict:?}");
        }
    }
}
