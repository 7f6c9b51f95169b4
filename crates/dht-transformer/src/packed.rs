//! Packed rows: the tokens of all samples one after another, no padding.

use std::ops::Range;

use crate::{Error, Result};

/// Where each sample's rows lie in a packed batch. Every sample has at least one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spans {
    /// `samples + 1` offsets, the first 0, strictly increasing.
    offsets: Vec<usize>,
}

impl Spans {
    /// Spans of samples with these lengths, in this order.
    ///
    /// # Errors
    /// [`Error::Setting`] when a length is 0.
    pub fn from_lengths(lengths: impl IntoIterator<Item = usize>) -> Result<Self> {
        let mut offsets = vec![0];
        let mut end = 0;
        for (sample, length) in lengths.into_iter().enumerate() {
            if length == 0 {
                return Err(Error::Setting {
                    field: "length",
                    expected: "at least one token a sample".into(),
                    got: format!("0 tokens in sample {sample}"),
                });
            }
            end += length;
            offsets.push(end);
        }
        Ok(Self { offsets })
    }

    /// How many samples there are.
    pub fn samples(&self) -> usize {
        self.offsets.len() - 1
    }

    /// How many rows (tokens) all samples have together.
    pub fn tokens(&self) -> usize {
        self.offsets[self.samples()]
    }

    /// The rows of one sample.
    ///
    /// # Panics
    /// When `sample` is not below [`samples`](Self::samples).
    pub fn range(&self, sample: usize) -> Range<usize> {
        self.offsets[sample]..self.offsets[sample + 1]
    }

    /// The first row of each sample: where a BERT encoder keeps its `[CLS]` state.
    pub fn starts(&self) -> &[usize] {
        &self.offsets[..self.samples()]
    }

    /// The number of rows of each sample, in order.
    pub fn lengths(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.offsets.windows(2).map(|pair| pair[1] - pair[0])
    }

    /// The spans of these samples in this order, and the rows to gather for them.
    ///
    /// # Panics
    /// When a sample is not below [`samples`](Self::samples).
    pub fn select(&self, samples: &[usize]) -> (Self, Vec<u32>) {
        let mut offsets = vec![0];
        let mut rows = Vec::new();
        for &sample in samples {
            rows.extend(self.range(sample).map(|row| row as u32));
            offsets.push(rows.len());
        }
        (Self { offsets }, rows)
    }

    /// The spans of all parts one after another.
    pub fn concat<'a>(parts: impl IntoIterator<Item = &'a Spans>) -> Self {
        let mut offsets = vec![0];
        let mut end = 0;
        for length in parts.into_iter().flat_map(Spans::lengths) {
            end += length;
            offsets.push(end);
        }
        Self { offsets }
    }
}
