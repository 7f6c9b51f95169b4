//! Labelled texts by purpose, and the request for them.

use std::path::Path;

use dht_dynamic::transformer::Dataset;

/// Texts by purpose.
#[derive(Debug, Clone)]
pub struct TextSplits {
    /// Training rows.
    pub train: Dataset,
    /// Validation rows, which settings are selected on.
    pub validation: Dataset,
    /// Calibration rows, which verify a promise; `None` if none was requested.
    pub calibration: Option<Dataset>,
    /// Test rows, which are only scored; `None` if there is no such file.
    pub test: Option<Dataset>,
    /// Notes on the selection of these rows.
    pub notes: Vec<String>,
    /// Notes on labels that are written differently from the classes, printed even with `--quiet`.
    pub warnings: Vec<String>,
}

/// Request for the rows of a data set.
pub struct SplitRequest<'a> {
    /// Classes of a given model.
    pub labels: Option<&'a [String]>,
    /// Number of training rows; all if not set.
    pub rows: Option<usize>,
    /// Separate file of validation rows.
    pub validation: Option<&'a Path>,
    /// Number of calibration rows for a number of training rows.
    pub keep: &'a dyn Fn(usize) -> usize,
    /// Number of calibration rows for a number of separate validation rows.
    pub keep_of_validation: &'a dyn Fn(usize) -> usize,
    /// Seed of all sampling.
    pub seed: u64,
}

impl TextSplits {
    /// Drops the texts. Names, columns and classes suffice once the texts are encoded.
    pub fn forget_texts(&mut self) {
        let Self { train, validation, calibration, test, .. } = self;
        let parts = [Some(train), Some(validation), calibration.as_mut(), test.as_mut()];
        parts.into_iter().flatten().for_each(|data| data.examples = Vec::new());
    }
}
