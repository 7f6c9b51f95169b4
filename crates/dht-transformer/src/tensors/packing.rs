//! Packed rows: the tokens of all samples one after another, no padding.

use std::ops::Range;

use crate::error::{Error, Result};

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
                return Err(Error::setting(
                    "length",
                    "at least one token a sample",
                    format!("0 tokens in sample {sample}"),
                ));
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

    /// The spans of some neighbouring samples by themselves.
    pub(crate) fn part(&self, samples: Range<usize>) -> Self {
        let first = self.offsets[samples.start];
        Self { offsets: self.offsets[samples.start..=samples.end].iter().map(|offset| offset - first).collect() }
    }

    /// The samples in order, cut into groups that have about `rows` rows each: whole samples, at least one a group.
    pub(crate) fn groups(&self, rows: usize) -> Vec<Range<usize>> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        for sample in 0..self.samples() {
            match groups.last_mut() {
                // Joined where the group comes closer to the number with the sample than without.
                Some(group)
                    if 2 * self.offsets[group.start] + 2 * rows >= self.offsets[sample] + self.offsets[sample + 1] =>
                {
                    group.end = sample + 1;
                }
                _ => groups.push(sample..sample + 1),
            }
        }
        groups
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

/// Some neighbouring samples of a batch, whose rows are worked on together.
#[derive(Debug, Clone)]
pub(crate) struct RowBlock {
    pub(crate) samples: Range<usize>,
    pub(crate) rows: Range<usize>,
    /// The samples' spans, counted from the first row of the block.
    pub(crate) spans: Spans,
}

impl RowBlock {
    /// The block's part of a matrix over all rows that has `width` columns.
    pub(crate) fn of<'a, T>(&self, matrix: &'a [T], width: usize) -> &'a [T] {
        &matrix[self.rows.start * width..self.rows.end * width]
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

    /// The batch cut into blocks of rows to be worked on side by side. How it is cut depends on the texts alone, so that
    /// results do not depend on the number of threads.
    pub(crate) fn blocks(&self) -> Vec<RowBlock> {
        // Enough blocks for the threads of an ordinary machine; where there are more threads, a forward shares out each
        // block. Each block reads all weights, so that below 32 rows it would wait more for them than it computes; above
        // 256 what it holds between two products leaves the second-level cache.
        let rows = (self.spans.tokens() / 8).clamp(32, 256);
        let groups = self.spans.groups(rows).into_iter();
        let block = |samples: Range<usize>| {
            let rows = self.spans.range(samples.start).start..self.spans.range(samples.end - 1).end;
            RowBlock { spans: self.spans.part(samples.clone()), samples, rows }
        };
        groups.map(block).collect()
    }

    /// For each row, its sample's number in the data set.
    pub(crate) fn row_samples(&self) -> &[u64] {
        &self.row_samples
    }

    /// For each row, its position in its sample.
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
