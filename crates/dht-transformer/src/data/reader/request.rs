//! Requested columns and labels of a table.

use super::coding::TextEncoding;
use crate::data::reading::{Column, LabelKind};

/// Columns and labels that a caller requests, or that are known from the training set. `None` if they are to be
/// detected.
#[derive(Debug, Clone, Default)]
pub(super) struct TableRequest {
    /// Presence of a header.
    pub(super) header: Option<bool>,
    /// Separator of the columns of a csv file.
    pub(super) separator: Option<char>,
    /// Encoding of a file without a byte-order mark; `None` is UTF-8.
    pub(super) encoding: Option<TextEncoding>,
    /// Table of the training set, if labels were read from it.
    pub(super) training: Option<TrainingTable>,
    pub(super) label: Option<Column>,
    /// Columns of zeros and ones, each named after a label, in place of `label`.
    pub(super) label_columns: Vec<Column>,
    /// `true` if `label` is the column of the training set.
    pub(super) label_of_training: bool,
    pub(super) text: Option<Vec<Column>>,
    /// `true` if `text` are the columns of the training set.
    pub(super) text_of_training: bool,
    /// `true` if two text columns are a sentence pair.
    pub(super) pair: bool,
    pub(super) kind: Option<LabelKind>,
    /// Labels of the training set or of the model: the classes, in order.
    pub(super) labels: Option<Vec<String>>,
    /// Number of rows to draw, and the seed.
    pub(super) most_rows: Option<(usize, u64)>,
    /// `true` if rows without a label, or with one that `labels` lack, are left out.
    pub(super) skips_unlabelled: bool,
    /// Explicit mapping of labels to classes.
    pub(super) mapping: Vec<(String, String)>,
}

impl TableRequest {
    /// Names of requested columns.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let columns = self.label.iter().chain(&self.label_columns).chain(self.text.iter().flatten());
        columns.filter_map(|column| match column {
            Column::Name(name) => Some(&**name),
            Column::Number(_) => None,
        })
    }
}

/// Shape of the training set's table.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrainingTable {
    pub(super) header: bool,
    pub(super) width: usize,
}
