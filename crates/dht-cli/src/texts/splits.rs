//! Labelled texts by purpose (training, validation, calibration, test), and the request for such splits.

use std::path::{Path, PathBuf};

use dht_dynamic::serving::Origin;
use dht_dynamic::transformer::{Dataset, EncodedDataset, TextTokenizer};

use crate::error::Result;

/// Labelled texts by purpose.
#[derive(Debug, Clone)]
pub struct TextSplits {
    /// Training rows.
    pub train: Dataset,
    /// Validation rows, on which settings are selected.
    pub validation: Dataset,
    /// True if the validation rows were split off the training rows, and do not come from a separate source.
    pub is_validation_split_off: bool,
    /// Calibration rows, which verify a promise (a limit on the loss of accuracy); `None` if no promise was requested.
    pub calibration: Option<Dataset>,
    /// Test rows, which are only scored; `None` if there is no test file.
    pub test: Option<Dataset>,
    /// Notes on how the rows of each split were selected.
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
    /// Calibration rows, which verify a promise (a limit on the loss of accuracy).
    pub calibration: Option<EncodedDataset>,
    /// Test rows, which are only scored.
    pub test: Option<EncodedDataset>,
}

/// Rule that determines the classes of labelled rows.
#[derive(Debug, Clone, Copy)]
pub enum Classes<'a> {
    /// The classes are the labels of the rows.
    OfRows,
    /// Classes of an existing model and its training data. The labels of the rows are matched with these classes.
    Of(&'a [String], Option<&'a Origin>),
    /// Classes of an existing model and its training data. Further labels of the rows become further classes.
    Extended(&'a [String], Option<&'a Origin>),
}

/// Request for the training, validation, calibration and test rows of a data set.
pub struct SplitRequest<'a> {
    /// Rule that determines the classes of the rows.
    pub classes: Classes<'a>,
    /// Further sources of training rows.
    pub also: &'a [PathBuf],
    /// Number of training rows; `None` for all.
    pub rows: Option<usize>,
    /// Separate file with the validation rows.
    pub validation: Option<&'a Path>,
    /// Function that maps the number of training rows to the number of calibration rows.
    pub keep: &'a dyn Fn(usize) -> usize,
    /// Function that maps the number of separate validation rows to the number of calibration rows.
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

    /// Drops the texts to free memory. Once the texts are encoded, only names, columns and classes are needed.
    pub fn forget_texts(&mut self) {
        let Self { train, validation, calibration, test, .. } = self;
        let parts = [Some(train), Some(validation), calibration.as_mut(), test.as_mut()];
        parts.into_iter().flatten().for_each(|data| data.examples = Vec::new());
    }
}
