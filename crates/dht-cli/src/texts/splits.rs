//! Labelled texts by purpose (training, validation, calibration, test), and the request for them.

use std::path::{Path, PathBuf};

use dht_dynamic::serving::Origin;
use dht_dynamic::transformer::{Dataset, EncodedDataset, TextTokenizer};

use crate::error::Result;

/// Texts by purpose.
#[derive(Debug, Clone)]
pub struct TextSplits {
    /// Training rows.
    pub train: Dataset,
    /// Validation rows, on which settings are selected.
    pub validation: Dataset,
    /// True if the validation rows were split off the training rows, not given as rows of their own.
    pub is_validation_split_off: bool,
    /// Calibration rows, which verify a promise; `None` if none was requested.
    pub calibration: Option<Dataset>,
    /// Test rows, which are only scored; `None` if there is no test file.
    pub test: Option<Dataset>,
    /// Notes on the selection of these rows.
    pub notes: Vec<String>,
    /// Notes on labels that are written differently from the classes, printed even with `--quiet`.
    pub warnings: Vec<String>,
}

/// Token ids of texts by purpose.
#[derive(Debug)]
pub struct EncodedSplits {
    /// Training rows.
    pub train: EncodedDataset,
    /// Validation rows, on which settings are selected.
    pub validation: EncodedDataset,
    /// Calibration rows, which verify a promise.
    pub calibration: Option<EncodedDataset>,
    /// Test rows, which are only scored.
    pub test: Option<EncodedDataset>,
}

/// Classes of labelled rows.
#[derive(Debug, Clone, Copy)]
pub enum Classes<'a> {
    /// The labels of the rows.
    OfRows,
    /// Classes of an existing model, with its training data, with which labels are matched.
    Of(&'a [String], Option<&'a Origin>),
    /// Classes of an existing model, with its training data, and the further labels of the rows.
    Extended(&'a [String], Option<&'a Origin>),
}

/// Request for the rows of a data set.
pub struct SplitRequest<'a> {
    /// Classes of the rows.
    pub classes: Classes<'a>,
    /// Further sources of training rows.
    pub also: &'a [PathBuf],
    /// Number of training rows; `None` for all.
    pub rows: Option<usize>,
    /// Separate file of validation rows.
    pub validation: Option<&'a Path>,
    /// Function from the number of training rows to the number of calibration rows.
    pub keep: &'a dyn Fn(usize) -> usize,
    /// Function from the number of separate validation rows to the number of calibration rows.
    pub keep_of_validation: &'a dyn Fn(usize) -> usize,
    /// Seed of all sampling.
    pub seed: u64,
}

impl TextSplits {
    /// Tokenises the texts, each cut at `max_length` tokens.
    ///
    /// # Errors
    /// Errors of the tokenizer.
    pub fn encode(&self, tokenizer: &TextTokenizer, max_length: usize) -> Result<EncodedSplits> {
        let encode = |data: &Dataset| tokenizer.encode_all(data, max_length);
        Ok(EncodedSplits {
            train: encode(&self.train)?,
            validation: encode(&self.validation)?,
            calibration: self.calibration.as_ref().map(encode).transpose()?,
            test: self.test.as_ref().map(encode).transpose()?,
        })
    }

    /// Drops the texts. Once the texts are encoded, only names, columns and classes are needed.
    pub fn forget_texts(&mut self) {
        let Self { train, validation, calibration, test, .. } = self;
        let parts = [Some(train), Some(validation), calibration.as_mut(), test.as_mut()];
        parts.into_iter().flatten().for_each(|data| data.examples = Vec::new());
    }
}
