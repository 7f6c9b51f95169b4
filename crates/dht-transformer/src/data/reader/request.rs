//! Options of a data set reader: the header, columns and labels that the caller requests.

use super::coding::TextEncoding;
use crate::data::reading::{Column, LabelKind};

/// Header, columns and labels that the caller requests, or that a training set determines. Fields with the value `None`
/// are detected.
#[derive(Debug, Clone, Default)]
pub(super) struct TableRequest {
    /// `true` if the first row is a header, `false` if it is data.
    pub(super) header: Option<bool>,
    pub(super) separator: Option<char>,
    pub(super) encoding: Option<TextEncoding>,
    /// Layout of the training file, if the training set was read from a table.
    pub(super) training: Option<TrainingTable>,
    pub(super) label: Option<Column>,
    /// Label columns of multi-label data: one column of zeros and ones for each label. If there are any, they are used
    /// instead of the column in `label`.
    pub(super) label_columns: Vec<Column>,
    /// `true` if `label` is the label column of the training set, not a request of the caller.
    pub(super) label_of_training: bool,
    pub(super) text: Option<Vec<Column>>,
    /// `true` if `text` holds the text columns of the training set, not a request of the caller.
    pub(super) text_of_training: bool,
    pub(super) pair: bool,
    pub(super) kind: Option<LabelKind>,
    /// Known classes in order: the labels of the training set or of the model.
    pub(super) labels: Option<Vec<String>>,
    /// Number of rows to sample at random, and the seed of the sample.
    pub(super) most_rows: Option<(usize, u64)>,
    /// `true` to skip rows without a label, and rows whose label is not in `labels`.
    pub(super) skips_unlabelled: bool,
    /// Label mapping of the caller, as pairs of a label and its class.
    pub(super) mapping: Vec<(String, String)>,
}

impl TableRequest {
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let columns = self.label.iter().chain(&self.label_columns).chain(self.text.iter().flatten());
        columns.filter_map(|column| match column {
            Column::Name(name) => Some(&**name),
            Column::Number(_) => None,
        })
    }
}

/// Layout of the training file, with which a test file must agree.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrainingTable {
    pub(super) header: bool,
    pub(super) width: usize,
}
