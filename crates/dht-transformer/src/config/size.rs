//! Size of a small encoder, such as `6x12x96`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::bert_config::BertConfig;
use crate::error::{Error, Result};

/// Size of a small encoder: number of layers, heads per layer, and hidden width, written as `6x12x96`.
///
/// # Examples
/// ```
/// use dht_transformer::config::ModelSize;
///
/// let size: ModelSize = "6x12x96".parse()?;
/// assert_eq!((size.layers, size.heads, size.hidden), (6, 12, 96));
/// assert_eq!(size.config(1000)?.intermediate_size, 384);
/// assert_eq!(size.to_string(), "6x12x96");
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSize {
    /// Number of layers.
    pub layers: usize,
    /// Number of attention heads of each layer.
    pub heads: usize,
    /// Width of the hidden states.
    pub hidden: usize,
}

impl ModelSize {
    /// Creates the configuration of an encoder of this size, by [`BertConfig::small`].
    ///
    /// # Errors
    /// [`Error::Argument`] if the width is below 2; the errors of [`BertConfig::check`].
    pub fn config(self, vocab_size: usize) -> Result<BertConfig> {
        if self.hidden < 2 {
            return Err(Error::argument(
                "size",
                "a width of at least 2: one column is constant once it is normalised",
                self.to_string(),
            ));
        }
        BertConfig::small(self.layers, self.heads, self.hidden, vocab_size)
    }
}

impl FromStr for ModelSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers: Option<Vec<usize>> =
            text.split('x').map(|part| part.parse().ok().filter(|&number| number > 0)).collect();
        match numbers.as_deref() {
            Some(&[layers, heads, hidden]) => Ok(Self { layers, heads, hidden }),
            _ => Err(Error::argument("size", "layers, heads and width, such as 6x12x96", format!("{text:?}"))),
        }
    }
}

impl fmt::Display for ModelSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}x{}", self.layers, self.heads, self.hidden)
    }
}
