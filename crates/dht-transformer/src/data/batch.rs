use rand::Rng;
use rand::seq::SliceRandom;

use super::encoded::{EncodedDataset, Sample, UnreadTokens};
use crate::error::{Error, Result, same_length};
use crate::tensors::Spans;

/// Batch of tokenised samples, stored as one list of tokens without padding.
///
/// # Shapes
/// - `ids` and `type_ids`: (tokens).
/// - `labels` and `sample_ids`: (samples).
/// - `targets`: (samples, outputs), or empty.
/// - `rest`: (samples), or empty.
///
/// # Examples
/// ```
/// use dht_transformer::TextTokenizer;
///
/// let tokenizer = TextTokenizer::from_vocabulary(&["fine", "food"].map(String::from))?;
/// let texts = tokenizer.encode_texts(&["fine food", "food"], 16)?;
/// let batch = texts.batch(&[0, 1])?;
/// assert_eq!(batch.ids, [2, 5, 6, 3, 2, 6, 3]); // [CLS] fine food [SEP] [CLS] food [SEP]
/// assert_eq!(batch.positions(), [0, 1, 2, 3, 0, 1, 2]);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PackedBatch {
    /// Token ids of all samples.
    pub ids: Vec<u32>,
    /// Type of each token: 0 for the first text, 1 for the second text of a pair.
    pub type_ids: Vec<u32>,
    /// Token range of each sample.
    pub spans: Spans,
    /// Class of each sample.
    pub labels: Vec<u32>,
    /// [Targets](Sample::targets) of all samples, one sample after another.
    pub targets: Vec<f32>,
    /// Row number of each sample in its data set.
    pub sample_ids: Vec<u64>,
    /// Truncated tokens and unknown words of each sample, if the tokenizer [stored them](super::Encoding::rest). The
    /// list is empty if no sample has any.
    pub rest: Vec<UnreadTokens>,
}

impl PackedBatch {
    /// Concatenates samples to a batch, in the order of the iterator.
    ///
    /// # Errors
    /// [`Error::Argument`] if a sample has no tokens. [`Error::Shape`] if a sample has fewer or more token types than
    /// tokens, or if the samples have different numbers of targets.
    pub fn from_samples<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Result<Self> {
        let (mut ids, mut type_ids, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        let (mut labels, mut sample_ids) = (Vec::new(), Vec::new());
        let (mut all_targets, mut rest, mut width) = (Vec::new(), Vec::new(), None);
        for Sample { id, label, targets, encoding } in samples {
            if ![0, encoding.ids.len()].contains(&encoding.type_ids.len()) {
                return Err(Error::Shape {
                    what: format!("type_ids of sample {id}"),
                    expected: vec![encoding.ids.len()],
                    got: vec![encoding.type_ids.len()],
                });
            }
            ids.extend_from_slice(&encoding.ids);
            type_ids.extend(encoding.types());
            lengths.push(encoding.ids.len());
            labels.push(*label);
            if *width.get_or_insert(targets.len()) != targets.len() {
                let expected = vec![width.unwrap_or_default()];
                return Err(Error::Shape {
                    what: format!("targets of sample {id}"),
                    expected,
                    got: vec![targets.len()],
                });
            }
            all_targets.extend_from_slice(targets);
            sample_ids.push(*id);
            // `rest` stays empty until the first sample that has truncated tokens or unknown words.
            if !rest.is_empty() || !encoding.rest.is_empty() {
                rest.resize(labels.len() - 1, UnreadTokens::default());
                rest.push(encoding.rest.clone());
            }
        }
        let spans = Spans::from_lengths(lengths)?;
        Ok(Self { ids, type_ids, spans, labels, targets: all_targets, sample_ids, rest })
    }

    /// Checks that the batch has at least one sample and that its lists have consistent lengths.
    ///
    /// # Errors
    /// [`Error::Argument`] if the batch has no samples; [`Error::Shape`] if a list has the wrong length.
    pub fn check(&self) -> Result<()> {
        let (samples, tokens) = (self.len(), self.tokens());
        if samples == 0 {
            return Err(Error::argument("batch", "at least one sample", "none"));
        }
        let targets = self.targets.len().next_multiple_of(samples);
        let rest = if self.rest.is_empty() { 0 } else { samples };
        let lists = [
            ("ids of a batch", tokens, self.ids.len()),
            ("type_ids of a batch", tokens, self.type_ids.len()),
            ("labels of a batch", samples, self.labels.len()),
            ("sample_ids of a batch", samples, self.sample_ids.len()),
            ("targets of a batch", targets, self.targets.len()),
            ("rest of a batch", rest, self.rest.len()),
        ];
        lists.into_iter().try_for_each(|(what, expected, got)| same_length(what, expected, got))
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.spans.samples()
    }

    /// Returns whether the batch is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Total number of tokens.
    pub fn tokens(&self) -> usize {
        self.spans.tokens()
    }

    /// Position of each token in its sample, from 0. Shape: (tokens).
    pub fn positions(&self) -> Vec<u32> {
        self.spans.lengths().flat_map(|length| 0..length as u32).collect()
    }

    /// Token ids followed by token types, as one list for each sample. Samples with equal lists have equal encoder
    /// outputs.
    pub(crate) fn contents(&self) -> impl Iterator<Item = Vec<u32>> + '_ {
        let places = self.spans.starts().iter().zip(self.spans.lengths()).map(|(start, length)| *start..start + length);
        places.map(|place| [&self.ids[place.clone()], &self.type_ids[place]].concat())
    }

    /// Selects samples by their index in this batch, in the order of `samples`.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    #[must_use]
    pub fn select(&self, samples: &[usize]) -> Self {
        let (spans, rows) = self.spans.select(samples);
        let width = self.targets.len() / self.len().max(1);
        let gather = |from: &[u32]| rows.iter().map(|&row| from[row as usize]).collect();
        Self {
            ids: gather(&self.ids),
            type_ids: gather(&self.type_ids),
            spans,
            labels: samples.iter().map(|&sample| self.labels[sample]).collect(),
            targets: samples
                .iter()
                .flat_map(|&sample| &self.targets[sample * width..(sample + 1) * width])
                .copied()
                .collect(),
            sample_ids: samples.iter().map(|&sample| self.sample_ids[sample]).collect(),
            rest: if self.rest.is_empty() {
                Vec::new()
            } else {
                samples.iter().map(|&sample| self.rest[sample].clone()).collect()
            },
        }
    }
}

impl EncodedDataset {
    /// Packs rows of the data set into a batch, in the order of `rows`.
    ///
    /// # Errors
    /// Same errors as [`PackedBatch::from_samples`]; [`Error::Range`] if a row does not exist.
    pub fn batch(&self, rows: &[usize]) -> Result<PackedBatch> {
        if let Some(row) = rows.iter().find(|row| **row >= self.len()) {
            return Err(Error::Range { what: "row", got: *row, below: self.len() });
        }
        PackedBatch::from_samples(rows.iter().map(|&row| &self.samples[row]))
    }
}

/// Assignment of the rows of a data set to batches, for training and evaluation.
impl PackedBatch {
    /// Assigns the rows of one training epoch to random batches. Each row occurs exactly once. `lengths` has the number
    /// of tokens of each row. Returns the row numbers of each batch.
    ///
    /// The rows are shuffled and divided into windows of `window` batches. Within each window, the rows are sorted by
    /// length and divided into batches; at the end the batches are shuffled. Batches of similar lengths save time if
    /// the cost of a batch grows with its longest text. A wide window makes lengths more similar, and the order less
    /// random. A window of 1 is a plain shuffle. Only the last window has a batch of fewer than `batch_size` rows.
    ///
    /// # Errors
    /// [`Error::Argument`] if `batch_size` or `window` is 0.
    pub fn epoch_order<R: Rng + ?Sized>(
        lengths: &[usize],
        batch_size: usize,
        window: usize,
        rng: &mut R,
    ) -> Result<Vec<Vec<usize>>> {
        check("batch_size", batch_size)?;
        check("window", window)?;
        let mut rows: Vec<usize> = (0..lengths.len()).collect();
        rows.shuffle(rng);
        if window == 1 {
            return Ok(cut(&rows, batch_size));
        }
        for part in rows.chunks_mut(batch_size.saturating_mul(window)) {
            // The sort is stable, so rows of the same length stay shuffled.
            part.sort_by_key(|&row| lengths[row]);
        }
        let mut batches = cut(&rows, batch_size);
        batches.shuffle(rng);
        Ok(batches)
    }

    /// Divides a data set with `rows` rows into batches for evaluation, in order.
    ///
    /// # Errors
    /// [`Error::Argument`] if `batch_size` is 0.
    pub fn in_order(rows: usize, batch_size: usize) -> Result<Vec<Vec<usize>>> {
        check("batch_size", batch_size)?;
        Ok(cut(&(0..rows).collect::<Vec<_>>(), batch_size))
    }

    /// Divides rows into batches for evaluation, longest texts first. Each batch holds similar lengths, and the batch
    /// that needs most memory comes first. Rows of equal length keep their order.
    ///
    /// # Errors
    /// [`Error::Argument`] if `batch_size` is 0.
    ///
    /// # Examples
    /// ```
    /// use dht_transformer::PackedBatch;
    ///
    /// assert_eq!(PackedBatch::longest_first(&[3, 9, 5], 2)?, [vec![1, 2], vec![0]]);
    /// # Ok::<(), dht_transformer::Error>(())
    /// ```
    pub fn longest_first(lengths: &[usize], batch_size: usize) -> Result<Vec<Vec<usize>>> {
        check("batch_size", batch_size)?;
        let mut rows: Vec<usize> = (0..lengths.len()).collect();
        rows.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
        Ok(cut(&rows, batch_size))
    }
}

fn cut(rows: &[usize], batch_size: usize) -> Vec<Vec<usize>> {
    rows.chunks(batch_size).map(<[usize]>::to_vec).collect()
}

fn check(field: &'static str, value: usize) -> Result<()> {
    if value == 0 {
        return Err(Error::argument(field, "at least 1", "0"));
    }
    Ok(())
}
