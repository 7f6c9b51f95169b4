//! Columns and labels that a caller requests of a table.

use super::coding::TextEncoding;
use crate::data::reading::{Column, LabelKind};

/// Columns and labels that a caller requests, or that the training set determines. The reader detects a field that is
/// `None`.
#[derive(Debug, Clone, Default)]
pub(super) struct TableRequest {
    /// `true` if the table has a header, `false` if it has none.
    pub(super) header: Option<bool>,
    /// Separator of the columns of a csv file.
    pub(super) separator: Option<char>,
    /// Encoding of a file without a byte-order mark; `None` is UTF-8.
    pub(super) encoding: Option<TextEncoding>,
    /// Shape of the training set's table, if its labels were read from a table.
    pub(super) training: Option<TrainingTable>,
    pub(super) label: Option<Column>,
    /// Columns of zeros and ones, each named after a label. They replace `label`.
    pub(super) label_columns: Vec<Column>,
    /// `true` if `label` is the label column of the training set.
    pub(super) label_of_training: bool,
    pub(super) text: Option<Vec<Column>>,
    /// `true` if `text` holds the text columns of the training set.
    pub(super) text_of_training: bool,
    /// `true` if two text columns are a pair of texts.
    pub(super) pair: bool,
    pub(super) kind: Option<LabelKind>,
    /// Classes, in order: the labels of the training set or of the model.
    pub(super) labels: Option<Vec<String>>,
    /// Number of rows to draw at random, and the seed.
    pub(super) most_rows: Option<(usize, u64)>,
    /// `true` to leave out rows without a label, and rows whose label is not in `labels`.
    pub(super) skips_unlabelled: bool,
    /// Explicit pairs of a label and its class.
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
