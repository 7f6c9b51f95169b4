//! Settings of TinyBERT's data augmentation.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Settings of TinyBERT's data augmentation, [`Augmentation`](super::Augmentation).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentationSettings {
    /// Number of copies of each text (N_a in Jiao et al. 2020). Duplicates are dropped, so there may be fewer copies.
    pub copies: usize,
    /// Number of candidates for the replacement of each word (K in Jiao et al. 2020).
    pub candidates: usize,
    /// Probability that a word is replaced (p_t in Jiao et al. 2020).
    pub replaced: f64,
    /// Maximum number of tokens of a copy.
    pub max_length: usize,
}

/// Defaults of TinyBERT (20 copies, 15 candidates, probability 0.4), and at most 128 tokens.
impl Default for AugmentationSettings {
    fn default() -> Self {
        Self { copies: 20, candidates: 15, replaced: 0.4, max_length: 128 }
    }
}

impl AugmentationSettings {
    /// Checks that the settings can produce copies.
    ///
    /// # Errors
    /// [`Error::Argument`] with the name of the first setting that is 0, or for a probability that is not above 0 and
    /// at most 1.
    pub fn check(&self) -> Result<()> {
        let counts = [("copies", self.copies), ("candidates", self.candidates), ("max_length", self.max_length)];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((field, _)) => Err(Error::argument(field, "at least 1", "0")),
            None if self.replaced > 0.0 && self.replaced <= 1.0 => Ok(()),
            None => Err(Error::argument("replaced", "above 0 and at most 1", self.replaced.to_string())),
        }
    }
}
