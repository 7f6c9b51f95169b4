//! Samples, data sets of samples, and texts of random tokens.

use std::ops::Range;

use dht_transformer::{EncodedDataset, Encoding, PackedBatch, Sample};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Random number generator (ChaCha8) with a fixed seed.
pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Sample of one text, built from its token ids.
pub fn sample(id: u64, label: u32, ids: impl IntoIterator<Item = u32>) -> Sample {
    let ids: Vec<u32> = ids.into_iter().collect();
    let encoding = Encoding { type_ids: vec![0; ids.len()], ids, truncated: false, rest: Default::default() };
    Sample { id, label, targets: Vec::new(), encoding }
}

/// Data set of samples, with the names of its classes.
pub fn data<L: ToString>(
    labels: impl IntoIterator<Item = L>,
    samples: impl IntoIterator<Item = Sample>,
) -> EncodedDataset {
    let labels = labels.into_iter().map(|label| label.to_string()).collect();
    EncodedDataset { samples: samples.into_iter().collect(), labels, truncated_rows: 0 }
}

/// Batch that contains all rows of a data set.
pub fn whole_batch(data: &EncodedDataset) -> PackedBatch {
    PackedBatch::from_samples(&data.samples).expect("samples that fit together")
}

/// Batch of texts, built from their token ids and one label for each text.
pub fn batch(texts: &[impl AsRef<[u32]>], labels: &[u32]) -> PackedBatch {
    let texts = (0..).zip(texts).zip(labels);
    let samples: Vec<_> = texts.map(|((id, ids), label)| sample(id, *label, ids.as_ref().iter().copied())).collect();
    PackedBatch::from_samples(&samples).expect("texts of one token or more")
}

/// Samples whose tokens and class follow from the sample id, for tests of batching. The class is `id % 3`; the token at
/// position `place` is `5 + (7 * place + 3 * id) % 50`.
pub fn indexed(ids_and_lengths: &[(u64, u32)]) -> Vec<Sample> {
    let tokens = |id: u64, length| (0..length).map(move |place| 5 + (7 * place + 3 * id as u32) % 50);
    ids_and_lengths.iter().map(|(id, length)| sample(*id, *id as u32 % 3, tokens(*id, *length))).collect()
}

/// Random texts of two to eight tokens below 30; the class is the parity of the first token.
pub fn parities(rows: u64, rng: &mut ChaCha8Rng) -> EncodedDataset {
    let text = |id| {
        let ids: Vec<u32> = (0..rng.random_range(2..9)).map(|_| rng.random_range(0..30)).collect();
        sample(id, ids[0] % 2, ids)
    };
    data(["even", "odd"], (0..rows).map(text))
}

/// Texts of random tokens below 50, assigned to the classes a, b and c at random. A text's length is drawn only if the
/// range contains several lengths.
pub fn random_texts(rows: u64, lengths: Range<usize>, rng: &mut ChaCha8Rng) -> EncodedDataset {
    let text = |id| {
        let tokens = if lengths.len() == 1 { lengths.start } else { rng.random_range(lengths.clone()) };
        let ids: Vec<u32> = (0..tokens).map(|_| rng.random_range(0..50)).collect();
        sample(id, rng.random_range(0..3), ids)
    };
    data(["a", "b", "c"], (0..rows).map(text))
}
