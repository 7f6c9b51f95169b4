//! Layout of packed batches: the tokens of all samples are concatenated without padding.

use std::ops::Range;

use crate::error::{Error, Result};

/// Row range of each sample in a packed batch. Every sample has at least one row (token).
///
/// ```
/// use dht_transformer::tensors::Spans;
///
/// let spans = Spans::from_lengths([3, 2])?;
/// assert_eq!((spans.samples(), spans.tokens(), spans.longest()), (2, 5, 3));
/// assert_eq!(spans.range(1), 3..5);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spans {
    /// Index of the first row for each sample, and at the end the total number of rows.
    offsets: Vec<usize>,
}

impl Spans {
    /// Creates the row ranges of consecutive samples from their lengths in tokens.
    ///
    /// # Errors
    /// [`Error::Argument`] for a length of 0.
    pub fn from_lengths(lengths: impl IntoIterator<Item = usize>) -> Result<Self> {
        let mut offsets = vec![0];
        let mut end = 0;
        for (sample, length) in lengths.into_iter().enumerate() {
            if length == 0 {
                return Err(Error::argument(
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

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Total number of rows (tokens).
    pub fn tokens(&self) -> usize {
        self.offsets[self.samples()]
    }

    /// Row range of one sample.
    ///
    /// # Panics
    /// If `sample` is not below [`samples`](Self::samples).
    pub fn range(&self, sample: usize) -> Range<usize> {
        self.offsets[sample]..self.offsets[sample + 1]
    }

    /// First row of each sample. In a BERT encoder it is the row of `[CLS]`.
    pub fn starts(&self) -> &[usize] {
        &self.offsets[..self.samples()]
    }

    /// Number of rows of each sample, in order.
    pub fn lengths(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.offsets.windows(2).map(|pair| pair[1] - pair[0])
    }

    /// Number of rows of the longest sample; 0 without samples.
    pub fn longest(&self) -> usize {
        self.lengths().max().unwrap_or(0)
    }

    /// Row ranges of neighbouring samples. Rows are counted from the start of the first sample.
    pub(crate) fn part(&self, samples: Range<usize>) -> Self {
        let first = self.offsets[samples.start];
        Self { offsets: self.offsets[samples.start..=samples.end].iter().map(|offset| offset - first).collect() }
    }

    /// Divides the samples into groups of consecutive samples. Each group has about `rows` rows, and never a part of a
    /// sample.
    pub(crate) fn groups(&self, rows: usize) -> Vec<Range<usize>> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        for sample in 0..self.samples() {
            match groups.last_mut() {
                // The sample joins the group if this brings the group closer to the target.
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

    /// Divides the samples into at most `parts` groups of consecutive samples, with nearly equal numbers of rows.
    fn even_parts(&self, parts: usize) -> Vec<Range<usize>> {
        let (tokens, samples) = (self.tokens(), self.samples());
        let cut = |part: usize| {
            let rows = tokens * part / parts;
            let after = self.offsets.partition_point(|offset| *offset < rows).min(samples);
            let before = after.saturating_sub(1);
            if rows.abs_diff(self.offsets[before]) < rows.abs_diff(self.offsets[after]) { before } else { after }
        };
        let ends: Vec<usize> = (0..=parts).map(cut).collect();
        ends.windows(2).filter(|ends| ends[0] < ends[1]).map(|ends| ends[0]..ends[1]).collect()
    }

    /// Row ranges of selected samples, in the order of `samples`. Also returns the row numbers of these samples in this
    /// batch.
    ///
    /// # Panics
    /// If a sample is not below [`samples`](Self::samples).
    pub fn select(&self, samples: &[usize]) -> (Self, Vec<u32>) {
        let mut offsets = vec![0];
        let mut rows = Vec::new();
        for &sample in samples {
            rows.extend(self.range(sample).map(|row| row as u32));
            offsets.push(rows.len());
        }
        (Self { offsets }, rows)
    }

    /// Concatenates the row ranges of several batches.
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

/// Minimum number of rows in a block. Each block reads all weights, so matrix products of fewer rows would be limited
/// by memory bandwidth.
const LEAST_ROWS: usize = 32;
/// Maximum number of rows in a block. With more rows, the intermediate results between two matrix products do not fit
/// into the second-level cache.
const MOST_ROWS: usize = 256;
/// Constant that limits the sizes of blocks: the largest block has at most 1/`EVEN` more rows than the mean block.
const EVEN: usize = 10;

/// Block of a packed batch: neighbouring samples whose rows are processed together.
#[derive(Debug, Clone)]
pub(crate) struct RowBlock {
    pub(crate) samples: Range<usize>,
    pub(crate) rows: Range<usize>,
    /// Row range of each sample in the block, counted from the first row of the block.
    pub(crate) spans: Spans,
}

impl RowBlock {
    /// Selects the block's rows from a matrix that has the rows of the whole batch, and `width` columns.
    pub(crate) fn rows_of<'a, T>(&self, matrix: &'a [T], width: usize) -> &'a [T] {
        &matrix[self.rows.start * width..self.rows.end * width]
    }
}

/// Layout of a packed batch: the rows and the id of each sample. Every layer needs it in addition to the hidden states.
///
/// ```
/// use dht_transformer::tensors::{Packing, Spans};
///
/// let packing = Packing::new(Spans::from_lengths([3, 2])?, vec![10, 11])?;
/// assert_eq!(packing.sample_ids(), [10, 11]);
/// assert_eq!(packing.row_tokens(), [0, 1, 2, 0, 1]);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    spans: Spans,
    sample_ids: Vec<u64>,
    row_samples: Vec<u64>,
    row_tokens: Vec<u32>,
    #[cfg(feature = "cuda")]
    on_device: OnDevice,
}

/// Cached result of [`Packing::numbers_on`] for the first device that requested it. It is derived from the packing, so
/// a copy starts without it, and comparisons ignore it.
#[cfg(feature = "cuda")]
#[derive(Debug, Default)]
struct OnDevice(std::sync::OnceLock<candle_core::Tensor>);

#[cfg(feature = "cuda")]
impl Clone for OnDevice {
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[cfg(feature = "cuda")]
impl PartialEq for OnDevice {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[cfg(feature = "cuda")]
impl Eq for OnDevice {}

impl Packing {
    /// Creates the layout of a batch. `sample_ids` are the rows of the samples in their data set. Dropout masks depend
    /// on the ids, so that the mask of a sample does not depend on its batch.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of ids differs from the number of samples in `spans`.
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
        Ok(Self {
            spans,
            sample_ids,
            row_samples,
            row_tokens,
            #[cfg(feature = "cuda")]
            on_device: OnDevice::default(),
        })
    }

    /// Row range of each sample.
    pub fn spans(&self) -> &Spans {
        &self.spans
    }

    /// Id of each sample, which is its row in the data set.
    pub fn sample_ids(&self) -> &[u64] {
        &self.sample_ids
    }

    /// Divides the batch into blocks of rows for parallel work. The division depends on the texts only. So sums over
    /// blocks, such as gradients, do not depend on the number of threads.
    pub(crate) fn blocks(&self) -> Vec<RowBlock> {
        // Eight blocks are enough for the threads of an ordinary machine. With more threads, a forward pass splits each
        // block.
        let rows = (self.spans.tokens() / 8).clamp(LEAST_ROWS, MOST_ROWS);
        self.spans.groups(rows).into_iter().map(|samples| self.block(samples)).collect()
    }

    /// Divides the batch into blocks of rows for `threads` threads. The division depends on `threads`, so sums over
    /// blocks would, too. Use it only for computations in which the values of a row do not depend on its block.
    pub(crate) fn blocks_for(&self, threads: usize) -> Vec<RowBlock> {
        let tokens = self.spans.tokens();
        let count = tokens.div_ceil(MOST_ROWS).next_multiple_of(threads);
        let even = self.spans.even_parts(count);
        let rows =
            |samples: &Range<usize>| self.spans.range(samples.end - 1).end - self.spans.range(samples.start).start;
        let most = even.iter().map(rows).max().unwrap_or(0);
        if tokens >= LEAST_ROWS * count && EVEN * most * count <= (EVEN + 1) * tokens {
            even.into_iter().map(|samples| self.block(samples)).collect()
        } else if tokens <= MOST_ROWS * threads {
            // There is one block, whose rows the threads split.
            vec![self.block(0..self.spans.samples())]
        } else {
            self.blocks()
        }
    }

    fn block(&self, samples: Range<usize>) -> RowBlock {
        let rows = self.spans.range(samples.start).start..self.spans.range(samples.end - 1).end;
        RowBlock { spans: self.spans.part(samples.clone()), samples, rows }
    }

    /// Sample id of each packed row.
    pub(crate) fn row_samples(&self) -> &[u64] {
        &self.row_samples
    }

    /// Position of each packed row (token) within its sample.
    pub fn row_tokens(&self) -> &[u32] {
        &self.row_tokens
    }

    /// Layout of the batch for GPU kernels, in one tensor of u32 that concatenates four arrays:
    ///
    /// - the first row of each sample, and the number of all rows (samples + 1);
    /// - the lower half of each sample's id (samples);
    /// - for each row the lower half of its sample's id (rows);
    /// - for each row its position in the sample (rows).
    ///
    /// Dropout on the CPU uses the same halves of ids as keys.
    #[cfg(feature = "cuda")]
    pub(crate) fn numbers_on(&self, device: &candle_core::Device) -> candle_core::Result<candle_core::Tensor> {
        if let Some(tensor) = self.on_device.0.get().filter(|tensor| tensor.device().same_device(device)) {
            return Ok(tensor.clone());
        }
        let ends = self.spans.offsets.iter().map(|row| *row as u32);
        let samples = self.sample_ids.iter().chain(&self.row_samples).map(|id| *id as u32);
        let all: Vec<u32> = ends.chain(samples).chain(self.row_tokens.iter().copied()).collect();
        let tensor = candle_core::Tensor::new(all, device)?;
        // Another thread may have set an equal value first.
        let _ = self.on_device.0.set(tensor.clone());
        Ok(tensor)
    }

    /// Layout of a batch that has only the selected samples, in the order of `samples`. Also returns the row numbers of
    /// these samples in this batch.
    pub(crate) fn select(&self, samples: &[usize]) -> (Self, Vec<u32>) {
        let (spans, rows) = self.spans.select(samples);
        let packing = Self {
            spans,
            sample_ids: samples.iter().map(|sample| self.sample_ids[*sample]).collect(),
            row_samples: rows.iter().map(|row| self.row_samples[*row as usize]).collect(),
            row_tokens: rows.iter().map(|row| self.row_tokens[*row as usize]).collect(),
            #[cfg(feature = "cuda")]
            on_device: OnDevice::default(),
        };
        (packing, rows)
    }

    pub(crate) fn concat<'a>(parts: impl IntoIterator<Item = &'a Packing> + Clone) -> Self {
        Self {
            spans: Spans::concat(parts.clone().into_iter().map(Packing::spans)),
            sample_ids: parts.clone().into_iter().flat_map(|part| &part.sample_ids).copied().collect(),
            row_samples: parts.clone().into_iter().flat_map(|part| &part.row_samples).copied().collect(),
            row_tokens: parts.into_iter().flat_map(|part| &part.row_tokens).copied().collect(),
            #[cfg(feature = "cuda")]
            on_device: OnDevice::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packing(lengths: impl IntoIterator<Item = usize>) -> Packing {
        let spans = Spans::from_lengths(lengths).unwrap();
        let ids = (0..spans.samples() as u64).collect();
        Packing::new(spans, ids).unwrap()
    }

    #[test]
    fn thread_blocks_hold_every_text_once_and_are_even_or_shared() {
        let of = |packing: &Packing, threads| -> Vec<usize> {
            let blocks = packing.blocks_for(threads);
            let samples: Vec<usize> = blocks.iter().flat_map(|block| block.samples.clone()).collect();
            assert!(samples.into_iter().eq(0..packing.spans().samples()));
            assert!(blocks.windows(2).all(|two| two[0].rows.end == two[1].rows.start));
            blocks.iter().map(|block| block.rows.len()).collect()
        };
        // There is one block for each thread, or a multiple.
        assert_eq!(of(&packing([13; 32]), 2), [208, 208]);
        assert_eq!(of(&packing([50; 32]), 2), [200; 8]);
        // If blocks would be too uneven, or have too few rows for each thread, there is one block.
        assert_eq!(of(&packing([50, 50, 50]), 2), [150]);
        assert_eq!(of(&packing([13, 13]), 2), [26]);
        assert_eq!(of(&packing([13; 4]), 16), [52]);
        // If there are too many rows for one block, and blocks would be uneven, the blocks do not depend on the number
        // of threads.
        let uneven = packing([300, 20, 300]);
        assert_eq!(of(&uneven, 1), uneven.blocks().iter().map(|block| block.rows.len()).collect::<Vec<_>>());
        assert_eq!(of(&packing([1]), 3), [1]);
    }
}
