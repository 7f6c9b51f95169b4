//! Labelled texts by their purpose, and the request for them.

use std::path::Path;

use dht_dynamic::transformer::Dataset;

/// Texts by their purpose.
#[derive(Debug, Clone)]
pub struct TextSplits {
    /// Rows to learn from.
    pub train: Dataset,
    /// Rows that choices are made on.
    pub validation: Dataset,
    /// Rows that show a promise; `None` where none was asked for.
    pub calibration: Option<Dataset>,
    /// Rows that are only scored; `None` where there is no such file.
    pub test: Option<Dataset>,
    /// Notes on the choice of these rows.
    pub notes: Vec<String>,
    /// Notes on labels that are not the classes as they are written, which are said in any case.
    pub warnings: Vec<String>,
}

/// Rows that are wanted of a data set.
pub struct SplitRequest<'a> {
    /// The classes, where a model has them.
    pub labels: Option<&'a [String]>,
    /// Training rows; all if not set.
    pub rows: Option<usize>,
    /// A file of its own for choices.
    pub validation: Option<&'a Path>,
    /// Rows for a promise, of so many training rows.
    pub keep: &'a dyn Fn(usize) -> usize,
    /// Rows for a promise, of so many validation rows of their own.
    pub keep_of_validation: &'a dyn Fn(usize) -> usize,
    /// Seed of every draw.
    pub seed: u64,
}

impl TextSplits {
    /// Drops the texts: once they are encoded, names, columns and classes are enough.
    pub fn forget_texts(&mut self) {
        let Self { train, validation, calibration, test, .. } = self;
        let parts = [Some(train), Some(validation), calibration.as_mut(), test.as_mut()];
        parts.into_iter().flatten().for_each(|data| data.examples = Vec::new());
    }
}
