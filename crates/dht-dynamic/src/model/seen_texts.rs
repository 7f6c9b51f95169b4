//! Record of the texts that a model was fitted on, stored as digests.

use dht_transformer::data::UnreadTokens;
use dht_transformer::{EncodedDataset, Encoding};

/// Record of the texts that a model was fitted on, or on which its settings were selected. Scores on these texts are
/// too optimistic. Each text is recorded by its [digest](dht_transformer::Encoding::digest).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenTexts {
    /// Hashes of the texts, in ascending order without duplicates.
    digests: Vec<u64>,
}

impl SeenTexts {
    /// Creates a record of all texts in some data sets.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a EncodedDataset>) -> Self {
        let samples = texts.into_iter().flat_map(|data| &data.samples);
        Self::from_digests(samples.map(|sample| sample.encoding.digest()).collect())
    }

    fn from_digests(mut digests: Vec<u64>) -> Self {
        digests.sort_unstable();
        digests.dedup();
        Self { digests }
    }

    /// Number of distinct recorded texts.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Returns whether no text is recorded.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Indices of the rows of `data` whose texts are recorded. The data set must be encoded by the model's tokenizer.
    pub fn rows_of(&self, data: &EncodedDataset) -> Vec<usize> {
        let rows = data.samples.iter().enumerate();
        rows.filter(|(_, sample)| self.has(&sample.encoding)).map(|(row, _)| row).collect()
    }

    fn has(&self, text: &Encoding) -> bool {
        let has = |text: &Encoding| self.digests.binary_search(&text.digest()).is_ok();
        // Models of earlier builds have digests without the words behind unknown tokens.
        let without_words = || {
            let rest = UnreadTokens { words: Vec::new(), ..text.rest.clone() };
            Encoding { rest, ..text.clone() }
        };
        has(text) || !text.rest.words.is_empty() && has(&without_words())
    }

    /// Serialises the text hashes, eight bytes each in little-endian order.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.digests.iter().flat_map(|digest| digest.to_le_bytes()).collect()
    }

    /// Parses bytes that [`to_bytes`](Self::to_bytes) returned. Returns `None` if their number is not a multiple of
    /// eight.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (digests, rest) = bytes.as_chunks::<8>();
        rest.is_empty().then(|| Self::from_digests(digests.iter().map(|digest| u64::from_le_bytes(*digest)).collect()))
    }
}
