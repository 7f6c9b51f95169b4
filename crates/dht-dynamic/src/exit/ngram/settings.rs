//! Settings of an n-gram classifier's fit.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Settings for the fit of an [`NgramClassifier`](super::NgramClassifier).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NgramSettings {
    /// The minimum number of training texts that contain an n-gram of the vocabulary; at least 1. 2 by default.
    pub min_rows: usize,
    /// Number of folds of the cross-validation, at least 2. 5 by default.
    pub folds: usize,
    /// Values of C to select from, ascending. 1, 3, 10, 30 and 100 by default.
    pub c: Vec<f64>,
    /// Special tokens to exclude, which are not part of a text: [`[CLS]` and
    /// `[SEP]`](dht_transformer::TextTokenizer::tokens_around). None by default. Special tokens that are not excluded
    /// are ordinary features, and end a text where it was truncated.
    pub left_out: BTreeSet<u32>,
}

impl Default for NgramSettings {
    fn default() -> Self {
        Self { min_rows: 2, folds: 5, c: vec![1.0, 3.0, 10.0, 30.0, 100.0], left_out: BTreeSet::new() }
    }
}

impl NgramSettings {
    /// Checks all ranges.
    ///
    /// # Errors
    /// [`Error::Argument`] names the field that is out of range.
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
