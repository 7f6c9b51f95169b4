//! Equal and nearly equal texts.

use std::collections::{BTreeMap, BTreeSet};

/// Tokens in a shingle.
const SHINGLE: usize = 3;
/// Bands of minimal hashes, and hashes in a band: pairs of a Jaccard similarity of .8 share a band with a probability of
/// 1 − (1 − .8⁴)¹² > .998.
const BANDS: usize = 12;
const IN_BAND: usize = 4;
/// Least share of common shingles.
const LEAST_SIMILARITY: f64 = 0.8;
/// Most rows of one band that are compared pair by pair: more are a common phrase.
const MOST_IN_BUCKET: usize = 50;

/// Row that repeats an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// The later row.
    pub row: usize,
    /// The earliest row that it repeats.
    pub of: usize,
    /// True if the texts are equal in all letters and digits, ignoring case.
    pub equal: bool,
}

/// Rows whose text equals that of an earlier row, or has nearly the same shingles of tokens. Jaccard similarity; source of
/// the hashes: Broder 1997.
pub fn duplicates(texts: &[&str], tokens: &[&[u32]]) -> Vec<Duplicate> {
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    let mut distinct = Vec::new();
    for (row, text) in texts.iter().enumerate() {
        let letters: String = text.chars().filter(|sign| sign.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        // Signs alone are compared as they are.
        let key = if letters.is_empty() { text.trim().to_owned() } else { letters };
        match first.get(&key) {
            Some(of) => found.push(Duplicate { row, of: *of, equal: true }),
            None => {
                first.insert(key, row);
                distinct.push(row);
            }
        }
    }
    let shingles: Vec<BTreeSet<u64>> = distinct.iter().map(|row| shingles(tokens[*row])).collect();
    let mut buckets: BTreeMap<(usize, Vec<u64>), Vec<usize>> = BTreeMap::new();
    for (at, shingles) in shingles.iter().enumerate().filter(|(_, shingles)| !shingles.is_empty()) {
        for band in 0..BANDS {
            let hash =
                |index: usize| shingles.iter().map(|shingle| mix(*shingle, (band * IN_BAND + index) as u64)).min();
            let key: Vec<u64> = (0..IN_BAND).filter_map(hash).collect();
            buckets.entry((band, key)).or_default().push(at);
        }
    }
    let mut earliest: BTreeMap<usize, usize> = BTreeMap::new();
    for rows in buckets.values().filter(|rows| (2..=MOST_IN_BUCKET).contains(&rows.len())) {
        for (place, later) in rows.iter().enumerate() {
            let similar = |other: &&usize| similarity(&shingles[**other], &shingles[*later]) >= LEAST_SIMILARITY;
            if let Some(other) = rows[..place].iter().find(similar) {
                let known = earliest.entry(*later).or_insert(*other);
                *known = (*known).min(*other);
            }
        }
    }
    found.extend(earliest.into_iter().map(|(row, of)| Duplicate {
        row: distinct[row],
        of: distinct[of],
        equal: false,
    }));
    found.sort_by_key(|duplicate| duplicate.row);
    found
}

/// Hashes of the shingles of a text; of a short text, of all of its tokens.
fn shingles(tokens: &[u32]) -> BTreeSet<u64> {
    let hash = |tokens: &[u32]| tokens.iter().fold(0, |hash, token| mix(hash ^ u64::from(*token), 1));
    if tokens.len() < SHINGLE { [hash(tokens)].into() } else { tokens.windows(SHINGLE).map(hash).collect() }
}

fn similarity(a: &BTreeSet<u64>, b: &BTreeSet<u64>) -> f64 {
    let common = a.intersection(b).count();
    common as f64 / (a.len() + b.len() - common).max(1) as f64
}

/// A hash of a number and a seed (splitmix64, Steele et al. 2014).
fn mix(value: u64, seed: u64) -> u64 {
    let mut mixed = value.wrapping_add(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    #[test]
    fn equal_and_nearly_equal_texts_are_found() {
        let texts = ["A fine day!", "rain", "a  fine day", "!!", "!!", "???"];
        let tokens: Vec<Vec<u32>> = vec![vec![1, 2, 3], vec![4], vec![1, 2, 3], vec![5, 5], vec![5, 5], vec![6, 6, 6]];
        let tokens: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
        let equal = |row, of| Duplicate { row, of, equal: true };
        assert_eq!(duplicates(&texts, &tokens), [equal(2, 0), equal(4, 3)]);
    }

    #[test]
    fn pairs_are_those_of_comparing_every_pair() {
        // 200 texts of 60 tokens; every fourth repeats an earlier one with one to six tokens changed.
        let mut rng = dht_toys::rng(3);
        let mut tokens: Vec<Vec<u32>> = Vec::new();
        for row in 0..200 {
            let mut text: Vec<u32> = (0..60).map(|_| rng.random_range(0..3000)).collect();
            if row % 4 == 3 {
                text.clone_from(&tokens[rng.random_range(0..row)]);
                for _ in 0..rng.random_range(1..=6) {
                    let at = rng.random_range(0..60);
                    text[at] = rng.random_range(0..3000);
                }
            }
            tokens.push(text);
        }
        let texts: Vec<String> = tokens.iter().map(|tokens| format!("{tokens:?}")).collect();
        let (texts, slices): (Vec<&str>, Vec<&[u32]>) =
            texts.iter().map(String::as_str).zip(tokens.iter().map(Vec::as_slice)).unzip();
        let found: BTreeSet<usize> = duplicates(&texts, &slices).iter().map(|duplicate| duplicate.row).collect();
        let all: Vec<BTreeSet<u64>> = slices.iter().map(|tokens| shingles(tokens)).collect();
        let repeats = |row: &usize| (0..*row).any(|other| similarity(&all[other], &all[*row]) >= LEAST_SIMILARITY);
        let expected: BTreeSet<usize> = (0..200).filter(repeats).collect();
        assert!(expected.len() > 15, "{expected:?}");
        assert!(found.is_subset(&expected) && found.len() + 1 >= expected.len(), "{found:?} and {expected:?}");
    }
}
