//! From the cells of a label column to classes.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{DataProblem, Result};

/// How many known labels an error lists.
const LABELS_IN_ERRORS: usize = 20;

/// The classes of a label's cells.
pub(super) struct Classes<'a> {
    index: BTreeMap<&'a str, usize>,
    /// Of cells that are numbers of classes.
    names: Option<&'a [String]>,
}

impl<'a> Classes<'a> {
    pub(super) fn new(labels: &'a [String], names: Option<&'a [String]>) -> Self {
        Self { index: labels.iter().map(String::as_str).zip(0..).collect(), names }
    }

    pub(super) fn count(&self) -> usize {
        self.index.len()
    }

    /// The class of a cell.
    pub(super) fn of(&self, cell: &str) -> Result<usize, DataProblem> {
        let named = self.names.and_then(|names| names.get(cell.parse::<usize>().ok()?));
        let label = named.map_or(cell, String::as_str);
        if let Some(&class) = self.index.get(label) {
            return Ok(class);
        }
        // By convention of the hub; a data set whose classes are -1, 0 and 1 knows it.
        if label == "-1" {
            return Err(DataProblem::HiddenLabel);
        }
        let mut known: Vec<&str> = self.index.keys().copied().take(LABELS_IN_ERRORS).collect();
        if self.index.len() > LABELS_IN_ERRORS {
            known.push("…");
        }
        Err(DataProblem::UnknownLabel { label: label.into(), known: known.join(", ") })
    }
}

/// The labels of a cell.
pub(super) fn several(cell: &str, separator: char) -> impl Iterator<Item = &str> {
    cell.split(separator).map(str::trim).filter(|label| !label.is_empty())
}

/// The different labels, by value when all are (finite) numbers, else by their letters.
pub(super) fn sorted_labels<'a>(labels: impl Iterator<Item = &'a str>) -> Vec<String> {
    let labels: BTreeSet<&str> = labels.filter(|label| !label.is_empty()).collect();
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
