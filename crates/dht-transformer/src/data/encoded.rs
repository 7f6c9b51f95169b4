use std::collections::HashMap;

use rand::Rng;
use rand::seq::SliceRandom;
use sha2::{Digest, Sha256};

use super::hold_out::{HoldOut, number_equal};
use crate::error::{Error, Result};
use crate::storage::hexadecimal;

/// Tokens of a text or text pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids, including `[CLS]` and `[SEP]`; at least one.
    pub ids: Vec<u32>,
    /// Token types: 0 for a single text or the first text of a pair, 1 for the second text. Empty if all types are 0.
    pub type_ids: Vec<u32>,
    /// `true` if the text was longer than the maximum length, so that `ids` holds only its first tokens.
    pub truncated: bool,
    /// Parts of the text that are not in `ids`: truncated tokens, if the tokenizer [stores
    /// them](super::TextTokenizer::with_rest), and the words that were encoded as unknown tokens.
    pub rest: UnreadTokens,
}

impl Encoding {
    /// Type of each token. All values are 0 if [`type_ids`](Self::type_ids) is empty.
    pub fn types(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.ids.len()).map(|token| self.type_ids.get(token).copied().unwrap_or(0))
    }

    /// First eight bytes of the SHA-256 of the encoding, which identify it. The hash covers the tokens, their types,
    /// and the [rest](Self::rest): truncated tokens and unknown words.
    pub fn digest(&self) -> u64 {
        let mut sum = Sha256::new();
        add_ids(&mut sum, self.ids.iter().copied());
        add_ids(&mut sum, self.types());
        add_ids(&mut sum, self.rest.first.iter().copied());
        add_ids(&mut sum, self.rest.second.iter().copied());
        self.rest.add_words(&mut sum);
        let mut first = [0; 8];
        first.copy_from_slice(&sum.finalize()[..8]);
        u64::from_le_bytes(first)
    }
}

/// Adds a list of token ids to a hash, preceded by its length.
fn add_ids(sum: &mut Sha256, ids: impl Iterator<Item = u32>) {
    let bytes: Vec<u8> = ids.flat_map(u32::to_le_bytes).collect();
    sum.update((bytes.len() as u64 / 4).to_le_bytes());
    sum.update(bytes);
}

/// Parts of a text that an encoder does not read: the ids of truncated tokens, and the words that were encoded as
/// unknown tokens. Models that can read more of a text use them, such as an n-gram model.
///
/// The truncated ids directly follow the ids of the encoding, and contain no special tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnreadTokens {
    /// Truncated token ids of the text. For a pair, those of its first text.
    pub first: Vec<u32>,
    /// Truncated token ids of the second text of a pair.
    pub second: Vec<u32>,
    /// Words that were encoded as unknown tokens, in the order of the text. One unknown token may stand for several
    /// words.
    pub words: Vec<UnknownWord>,
}

/// Word outside the vocabulary, such as an emoji, which was encoded as `[UNK]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownWord {
    /// Index of the unknown token that replaces the word. The index first counts the ids of the encoding, then the
    /// stored truncated ids of the first text, and then those of the second text.
    pub token: u32,
    /// Hash of the word. It is at least 2³¹, so it differs from every token id. The same word has the same hash in
    /// every text.
    pub id: u32,
}

impl UnreadTokens {
    /// Returns whether there are neither truncated ids nor unknown words.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty() && self.second.is_empty() && self.words.is_empty()
    }

    /// Adds the unknown words to a hash. Without unknown words, the hash is the same as in earlier releases, which did
    /// not store them.
    fn add_words(&self, sum: &mut Sha256) {
        if !self.words.is_empty() {
            add_ids(sum, self.words.iter().flat_map(|word| [word.token, word.id]));
        }
    }
}

/// Tokenised example with its class or targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Row number in the data set. Random choices about the sample, such as dropout, are seeded with this number.
    pub id: u64,
    /// Class of the sample; 0 for multi-label and regression data.
    pub label: u32,
    /// Targets of a multi-label or regression sample; empty for single-label data. Multi-label data has a 1 for each
    /// label that applies, otherwise 0. Regression data has one number.
    pub targets: Vec<f32>,
    /// Tokens of the text.
    pub encoding: Encoding,
}

/// Tokenised data set.
///
/// # Examples
/// ```
/// use dht_transformer::{Dataset, Example, TextTokenizer};
///
/// let examples = vec![Example::new("Fine food", 1), Example::new("Bad", 0)];
/// let data = Dataset::from_examples("reviews", vec!["bad".into(), "good".into()], examples)?;
/// let tokenizer = TextTokenizer::from_vocabulary(&["fine", "bad", "food"].map(String::from))?;
/// let encoded = tokenizer.encode_all(&data, 16)?;
/// assert_eq!(encoded.lengths(), [4, 3]); // with [CLS] and [SEP]
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedDataset {
    /// Rows in the order of the data set.
    pub samples: Vec<Sample>,
    /// Names of the classes.
    pub labels: Vec<String>,
    /// Number of rows whose text was truncated.
    pub truncated_rows: usize,
}

impl EncodedDataset {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Selects rows by their index, in the order of `rows`. Each sample keeps its [id](Sample::id).
    ///
    /// # Errors
    /// [`Error::Range`] for a row that does not exist.
    pub fn select(&self, rows: impl IntoIterator<Item = usize>) -> Result<Self> {
        let row = |row: usize| {
            let sample = self.samples.get(row).cloned();
            sample.ok_or_else(|| Error::Range { what: "row", got: row, below: self.len() })
        };
        Ok(self.with_samples(rows.into_iter().map(row).collect::<Result<_>>()?))
    }

    /// Draws a random sample of `rows` rows. If there are fewer rows, returns all. The sample keeps the order of the
    /// data set.
    pub fn sample<R: Rng + ?Sized>(&self, rows: usize, rng: &mut R) -> Self {
        let mut drawn: Vec<usize> = (0..self.len()).collect();
        if rows < self.len() {
            drawn.shuffle(rng);
            drawn.truncate(rows);
            drawn.sort_unstable();
        }
        self.with_samples(drawn.into_iter().map(|row| self.samples[row].clone()).collect())
    }

    /// Splits off a `fraction` of the rows as a validation set, stratified by class. Returns `(rest, validation)`, each
    /// in the order of the data set.
    ///
    /// Rows with equal texts go to the same part, as in
    /// [`Dataset::split_validation`](crate::Dataset::split_validation). Texts count as equal if their
    /// [digests](Encoding::digest) are equal.
    ///
    /// # Errors
    /// Same errors as [`Dataset::split_validation`](crate::Dataset::split_validation).
    pub fn split_validation<R: Rng + ?Sized>(&self, fraction: f64, rng: &mut R) -> Result<(Self, Self)> {
        let texts = number_equal(self.samples.iter().map(|sample| sample.encoding.digest()));
        let has_classes = self.samples.iter().all(|sample| sample.targets.is_empty());
        let class = |sample: &Sample| if has_classes { sample.label } else { 0 };
        let classes = number_equal(self.samples.iter().map(class));
        let is_held = HoldOut { texts, classes, at_least_one: true }.select(fraction, rng)?;
        let side = |held: bool| {
            let rows = self.samples.iter().zip(&is_held).filter(|(_, is_held)| **is_held == held);
            self.with_samples(rows.map(|(sample, _)| sample.clone()).collect())
        };
        Ok((side(false), side(true)))
    }

    /// Returns an empty data set with the same classes. It replaces the validation set in training without validation.
    pub fn without_rows(&self) -> Self {
        self.with_samples(Vec::new())
    }

    fn with_samples(&self, samples: Vec<Sample>) -> Self {
        let truncated_rows = samples.iter().filter(|sample| sample.encoding.truncated).count();
        Self { samples, labels: self.labels.clone(), truncated_rows }
    }

    /// Number of tokens of each row.
    pub fn lengths(&self) -> Vec<usize> {
        self.samples.iter().map(|sample| sample.encoding.ids.len()).collect()
    }

    /// Checks that all classes in the data set are below `classes`, the number of classes of a model.
    ///
    /// # Errors
    /// [`Error::Argument`] with the first row whose class is too large.
    pub fn check_classes(&self, classes: usize) -> Result<()> {
        match self.samples.iter().enumerate().find(|(_, sample)| sample.label as usize >= classes) {
            None => Ok(()),
            Some((row, sample)) => Err(Error::argument(
                "label",
                format!("below {classes}, the classes of the model"),
                format!("{} in row {row}", sample.label),
            )),
        }
    }

    /// Checks that sample [ids](Sample::id) are unique. Joining two data sets can duplicate ids.
    ///
    /// # Errors
    /// [`Error::Argument`] with the first two rows that have the same id.
    pub fn check_ids(&self) -> Result<()> {
        let mut rows = HashMap::with_capacity(self.len());
        for (row, sample) in self.samples.iter().enumerate() {
            if let Some(first) = rows.insert(sample.id, row) {
                let got = format!("{} in rows {first} and {row}", sample.id);
                return Err(Error::argument("id", "another for each row", got));
            }
        }
        Ok(())
    }

    /// SHA-256 checksum of all samples in order, in hexadecimal. It identifies the data set.
    pub fn sha256(&self) -> String {
        let mut sum = Sha256::new();
        for Sample { id, label, targets, encoding } in &self.samples {
            sum.update(id.to_le_bytes());
            sum.update(label.to_le_bytes());
            add_ids(&mut sum, targets.iter().map(|target| target.to_bits()));
            add_ids(&mut sum, encoding.ids.iter().copied());
            add_ids(&mut sum, encoding.types());
            // Samples without unread tokens keep the digest of earlier releases, which stored none.
            if !encoding.rest.is_empty() {
                add_ids(&mut sum, encoding.rest.first.iter().copied());
                add_ids(&mut sum, encoding.rest.second.iter().copied());
                encoding.rest.add_words(&mut sum);
            }
        }
        hexadecimal(sum)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn chosen_rows_keep_their_ids_and_what_was_cut_is_counted_anew() -> Result<()> {
        let sample = |id: u64| {
            let encoding =
                Encoding { ids: vec![1], type_ids: Vec::new(), truncated: id == 1, rest: UnreadTokens::default() };
            Sample { id, label: 0, targets: Vec::new(), encoding }
        };
        let data =
            EncodedDataset { samples: (0..3).map(sample).collect(), labels: vec!["a".into()], truncated_rows: 1 };
        let selected = data.select([2, 0])?;
        assert_eq!(selected.samples.iter().map(|sample| sample.id).collect::<Vec<_>>(), [2, 0]);
        assert_eq!((selected.truncated_rows, data.select([1])?.truncated_rows), (0, 1));
        assert!(matches!(data.select([3]), Err(Error::Range { what: "row", got: 3, .. })));
        assert!(data.without_rows().is_empty() && data.without_rows().labels == data.labels);
        Ok(())
    }

    #[test]
    fn random_rows_of_a_sorted_set_are_of_all_its_parts() {
        let sample = |id: u64| {
            let encoding =
                Encoding { ids: vec![1], type_ids: Vec::new(), truncated: false, rest: UnreadTokens::default() };
            Sample { id, label: u32::from(id >= 500), targets: Vec::new(), encoding }
        };
        let data = EncodedDataset { samples: (0..1000).map(sample).collect(), labels: Vec::new(), truncated_rows: 0 };
        let drawn = data.sample(200, &mut ChaCha8Rng::seed_from_u64(3));
        let ids: Vec<u64> = drawn.samples.iter().map(|sample| sample.id).collect();
        assert!(ids.len() == 200 && ids.is_sorted_by(|left, right| left < right), "{ids:?}");
        let second = drawn.samples.iter().filter(|sample| sample.label == 1).count();
        assert!((70..=130).contains(&second), "{second}");
        assert_eq!(data.sample(1000, &mut ChaCha8Rng::seed_from_u64(3)), data);
    }
}
