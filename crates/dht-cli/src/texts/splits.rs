//! Labelled texts in splits (training, validation, calibration, test), and the settings by which they are read and
//! split.

use std::path::{Path, PathBuf};

use dht_dynamic::serving::Origin;
use dht_dynamic::transformer::{Dataset, EncodedDataset, TextTokenizer};

use crate::error::Result;

/// Labelled texts in splits: training, validation, calibration and test.
#[derive(Debug, Clone)]
pub struct TextSplits {
    /// Training rows.
    pub train: Dataset,
    /// Validation rows, on which settings are selected.
    pub validation: Dataset,
    /// True if the validation rows are a part of the training data, and not from a separate file.
    pub is_validation_split_off: bool,
    /// Calibration rows, on which a promise (limit on the loss of accuracy) is verified; `None` if none was requested.
    pub calibration: Option<Dataset>,
    /// Test rows, which are used for scores only; `None` if there is no test file.
    pub test: Option<Dataset>,
    /// Notes on how the splits were selected.
    pub notes: Vec<String>,
    /// Notes on labels whose spelling differs from the classes; printed even with `--quiet`.
    pub warnings: Vec<String>,
}

/// Token ids of texts in splits: training, validation, calibration and test.
#[derive(Debug)]
pub struct EncodedSplits {
    /// Training rows.
    pub train: EncodedDataset,
    /// Validation rows, on which settings are selected.
    pub validation: EncodedDataset,
    /// Calibration rows, on which a promise (limit on the loss of accuracy) is verified.
    pub calibration: Option<EncodedDataset>,
    /// Test rows, which are used for scores only.
    pub test: Option<EncodedDataset>,
}

/// Source of the classes of labelled rows.
#[derive(Debug, Clone, Copy)]
pub enum Classes<'a> {
    /// Labels of the rows.
    OfRows,
    /// Classes of an existing model, and the origin of its training data. Labels of the rows must match these classes.
    Of(&'a [String], Option<&'a Origin>),
    /// Classes of an existing model, and the origin of its training data. Other labels of the rows are added as
    /// classes.
    Extended(&'a [String], Option<&'a Origin>),
}

/// Settings by which a data set is read and split into training, validation, calibration and test rows.
pub struct SplitRequest<'a> {
    /// Source of the classes of the rows.
    pub classes: Classes<'a>,
    /// Additional sources of training rows.
    pub also: &'a [PathBuf],
    /// Number of training rows to sample; `None` for all.
    pub rows: Option<usize>,
    /// Separate file of validation rows.
    pub validation: Option<&'a Path>,
    /// Number of calibration rows, as a function of the number of training rows from which they are split off.
    pub keep: &'a dyn Fn(usize) -> usize,
    /// Number of calibration rows, as a function of the number of separate validation rows from which they are split
    /// off.
    pub keep_of_validation: &'a dyn Fn(usize) -> usize,
    /// Seed of all random choices.
    pub seed: u64,
}

impl TextSplits {
    /// Tokenises the texts, truncated to `max_length` tokens.
    ///
    /// # Errors
    /// [`Error::Transformer`](crate::Error::Transformer) if the tokenizer fails.
    pub fn encode(&self, tokenizer: &TextTokenizer, max_length: usize) -> Result<EncodedSplits> {
        let encode = |data: &Dataset| tokenizer.encode_all(data, max_length);
        Ok(EncodedSplits {
            train: encode(&self.train)?,
            validation: encode(&self.validation)?,
            calibration: self.calibration.as_ref().map(encode).transpose()?,
            test: self.test.as_ref().map(encode).transpose()?,
        })
    }

    /// Drops the texts to free memory. Names, columns and classes are kept.
    pub fn forget_texts(&mut self) {
        let Self { train, validation, calibration, test, .. } = self;
        let parts = [Some(train), Some(validation), calibration.as_mut(), test.as_mut()];
        parts.into_iter().flatten().for_each(|data| data.examples = Vec::new());
    }
}
