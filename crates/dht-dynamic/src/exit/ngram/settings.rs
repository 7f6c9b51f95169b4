//! Settings for the fit of an n-gram classifier.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Settings for the fit of an [`NgramClassifier`](super::NgramClassifier).
///
/// # Examples
/// Settings that exclude the special tokens around each text:
///
/// ```
/// use std::collections::BTreeSet;
///
/// use dht_dynamic::exit::NgramSettings;
/// use dht_dynamic::transformer::TextTokenizer;
///
/// let tokenizer = TextTokenizer::from_vocabulary(&["fine", "food"].map(String::from))?;
/// let left_out = tokenizer.tokens_around()?;
/// let settings = NgramSettings { left_out, ..NgramSettings::default() };
/// settings.check()?;
/// assert_eq!(settings.left_out, BTreeSet::from([2, 3])); // [CLS] and [SEP]
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NgramSettings {
    /// Minimum number of training texts in which an n-gram must occur to be in the vocabulary: at least 1; 2 by
    /// default.
    pub min_rows: usize,
    /// Number of folds of the cross-validation: at least 2; 5 by default.
    pub folds: usize,
    /// Candidate values of the inverse penalty C, ascending; 1, 3, 10, 30 and 100 by default. Cross-validation selects
    /// one.
    pub c: Vec<f64>,
    /// Ids of special tokens to exclude because they are not part of a text, such as [`[CLS]` and
    /// `[SEP]`](dht_transformer::TextTokenizer::tokens_around). None by default. Special tokens that are not excluded
    /// are ordinary features. In a truncated text, the final special token stands between the tokens that the encoder
    /// reads and the tokens beyond its limit.
    pub left_out: BTreeSet<u32>,
}

impl Default for NgramSettings {
    fn default() -> Self {
        Self { min_rows: 2, folds: 5, c: vec![1.0, 3.0, 10.0, 30.0, 100.0], left_out: BTreeSet::new() }
    }
}

impl NgramSettings {
    /// Checks that every setting is in range.
    ///
    /// # Errors
    /// [`Error::Argument`] with the name of the first field that is out of range.
    pub fn check(&self) -> Result<()> {
        for (field, least, got) in [("min_rows", 1, self.min_rows), ("folds", 2, self.folds)] {
            if got < least {
                return Err(Error::argument(field, format!("at least {least}"), got));
            }
        }
        let positive = self.c.iter().all(|c| c.is_finite() && *c > 0.0);
        if self.c.is_empty() || !positive || !self.c.is_sorted() {
            return Err(Error::argument("c", "positive numbers, ascending, at least one", format!("{:?}", self.c)));
        }
        Ok(())
    }
}
