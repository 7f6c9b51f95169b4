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

/// The rows of a packed batch and the samples they belong to: what every layer needs to know beside the numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    spans: Spans,
    sample_ids: Vec<u64>,
    row_samples: Vec<u64>,
    row_tokens: Vec<u32>,
}

impl Packing {
    /// `sample_ids` are the samples' numbers in their data set: they key dropout masks, so that a sample's mask does not
    /// depend on the batch it comes in.
    ///
    /// # Errors
    /// [`Error::Shape`] when there are not as many numbers as spans.
    pub fn new(spans: Spans, sample_ids: Vec<u64>) -> Result<Self> {
        if sample_ids.len() != spans.samples() {
            return Err(Error::Shape {
                what: "sample_ids".into(),
                expected: vec![spans.samples()],
                got: vec![sample_ids.len()],
            });
        }
        let rows = || spans.lengths().zip(&sample_ids);
        let row_samples = rows().flat_map(|(length, id)| std::iter::repeat_n(*id, length)).collect();
        let row_tokens = rows().flat_map(|(length, _)| 0..length as u32).collect();
        Ok(Self { spans, sample_ids, row_samples, row_tokens })
    }

    /// Where each sample's rows lie.
    pub fn spans(&self) -> &Spans {
        &self.spans
    }

    /// The samples' numbers in their data set.
    pub fn sample_ids(&self) -> &[u64] {
        &self.sample_ids
    }

    /// For each row, its sample's number in the data set.
    pub(crate) fn row_samples(&self) -> &[u64] {
        &self.row_samples
    }

    /// For each row, its place in its sample.
    pub fn row_tokens(&self) -> &[u32] {
        &self.row_tokens
    }

    /// These samples in this order, and the rows to gather for them.
    pub(crate) fn select(&self, samples: &[usize]) -> (Self, Vec<u32>) {
        let (spans, rows) = self.spans.select(samples);
        let packing = Self {
            spans,
            sample_ids: samples.iter().map(|sample| self.sample_ids[*sample]).collect(),
            row_samples: rows.iter().map(|row| self.row_samples[*row as usize]).collect(),
            row_tokens: rows.iter().map(|row| self.row_tokens[*row as usize]).collect(),
        };
        (packing, rows)
    }

    /// All parts one after another.
    pub(crate) fn concat<'a>(parts: impl IntoIterator<Item = &'a Packing> + Clone) -> Self {
        Self {
            spans: Spans::concat(parts.clone().into_iter().map(Packing::spans)),
            sample_ids: parts.clone().into_iter().flat_map(|part| &part.sample_ids).copied().collect(),
            row_samples: parts.clone().into_iter().flat_map(|part| &part.row_samples).copied().collect(),
            row_tokens: parts.into_iter().flat_map(|part| &part.row_tokens).copied().collect(),
        }
    }
}
