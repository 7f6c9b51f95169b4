//! Detection of equal and nearly equal texts.

use std::collections::{BTreeMap, BTreeSet};

/// Character that separates the two texts of a pair.
pub const PAIR: char = '\u{1f}';
/// Number of words in a shingle. Texts are compared by these sequences of consecutive words.
const SHINGLE: usize = 3;
/// Number of bands of MinHash values; texts with an equal band are compared. Two texts with a Jaccard similarity of .8
/// have an equal band with a probability of 1 − (1 − .8⁴)¹² > .998.
const BANDS: usize = 12;
/// Number of MinHash values in a band.
const IN_BAND: usize = 4;
/// Minimum Jaccard similarity of nearly equal texts, computed on their shingles (sequences of three words).
const LEAST_SIMILARITY: f64 = 0.8;
/// Maximum number of rows with an equal band that are compared pairwise. If there are more, the band stems from a
/// common phrase.
const MOST_IN_BUCKET: usize = 50;

/// Row whose text repeats that of an earlier row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// Index of the repeating row.
    pub row: usize,
    /// Index of the earliest row with the repeated text.
    pub of: usize,
    /// True if the texts are equal in all letters and digits, ignoring case.
    pub equal: bool,
}

/// Finds rows whose text is equal or nearly equal to that of an earlier row. Similarity is Jaccard similarity of
/// shingles (sequences of three words), estimated by MinHash (Broder 1997).
pub fn duplicates(texts: &[String]) -> Vec<Duplicate> {
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    let mut repeats = Vec::new();
    let mut distinct = Vec::new();
    for (row, text) in texts.iter().enumerate() {
        // Texts without letters and digits are compared as they are.
        let is_part = |sign: &char| sign.is_alphanumeric() || *sign == PAIR;
        let letters: String = text.chars().filter(is_part).flat_map(char::to_lowercase).collect();
        let key = if letters.trim().is_empty() { text.trim().to_owned() } else { letters };
        match first.get(&key) {
            Some(of) => repeats.push(Duplicate { row, of: *of, equal: true }),
            None => {
                first.insert(key, row);
                distinct.push(row);
            }
        }
    }
    let shingles: Vec<BTreeSet<u64>> = distinct.iter().map(|row| shingles(&words(&texts[*row]))).collect();
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
    repeats.extend(earliest.into_iter().map(|(row, of)| Duplicate {
        row: distinct[row],
        of: distinct[of],
        equal: false,
    }));
    repeats.sort_by_key(|duplicate| duplicate.row);
    repeats
}

/// Returns whether a letter belongs to a script without spaces between words, such as Thai, Khmer, Chinese or Japanese.
fn is_without_spaces(letter: char) -> bool {
    matches!(letter, '\u{e00}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{a4cf}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..)
}

/// Hashes the words of a text, ignoring case. A word is a run of letters and digits, a letter of a script without
/// spaces, or a symbol such as an emoji. Punctuation is ignored.
fn words(text: &str) -> Vec<u64> {
    /// First character that counts as a symbol; punctuation has lower code points.
    const SYMBOLS: char = '\u{2190}';
    let (mut words, mut word) = (Vec::new(), None);
    for sign in text.chars() {
        let joins = sign.is_alphanumeric() && !is_without_spaces(sign);
        if joins {
            let hash =
                sign.to_lowercase().fold(word.unwrap_or(0), |hash, letter| mix(hash, u64::from(u32::from(letter))));
            word = Some(hash);
            continue;
        }
        words.extend(word.take());
        if sign >= SYMBOLS && !sign.is_whitespace() || is_without_spaces(sign) {
            words.push(mix(0, u64::from(u32::from(sign))));
        }
    }
    words.extend(word);
    words
}

/// Hashes the shingles (sequences of three words) of a text. A shorter text has one shingle.
fn shingles(words: &[u64]) -> BTreeSet<u64> {
    let hash = |words: &[u64]| words.iter().fold(0, |hash, word| mix(hash ^ word, 1));
    match words.len() {
        0 => BTreeSet::new(),
        1..SHINGLE => [hash(words)].into(),
        _ => words.windows(SHINGLE).map(hash).collect(),
    }
}

fn similarity(a: &BTreeSet<u64>, b: &BTreeSet<u64>) -> f64 {
    let common = a.intersection(b).count();
    common as f64 / (a.len() + b.len() - common).max(1) as f64
}

/// Hashes a number with a seed (splitmix64, Steele et al. 2014).
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

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn equal_and_nearly_equal_texts_are_found() {
        let texts = strings(&["A fine day!", "rain", "a  fine day", "!!", "!!", "???"]);
        let equal = |row, of| Duplicate { row, of, equal: true };
        assert_eq!(duplicates(&texts), [equal(2, 0), equal(4, 3)]);
        // Different emoji are different words, and so are different letters of a script without spaces.
        let texts = strings(&[
            "😀 😀 😀 😀",
            "😡 😡 😡 😡",
            "今天天气很好我们去公园",
            "明日は雨が降るでしょう",
            "今天天气很好我们去公园！",
        ]);
        assert_eq!(duplicates(&texts), [equal(4, 2)]);
        // Covers pairs with the same first text, and long texts with the same beginning.
        let long = |end: &str| format!("{} {end}", "the same words at the beginning of each text ".repeat(20));
        let pairs = strings(&[
            "a man eats\u{1f}someone eats",
            "a man eats\u{1f}nobody is here",
            "a man eats\u{1f}Someone eats.",
        ]);
        assert_eq!(duplicates(&pairs), [equal(2, 0)]);
        let ends = ["one two three four five", "six seven eight nine ten"].map(|end| {
            let words: Vec<String> = end.split(' ').map(str::to_owned).collect();
            (0..200).map(|at| format!("{}{} ", words[at % 5], at)).collect::<String>()
        });
        assert!(duplicates(&[long(&ends[0]), long(&ends[1])]).is_empty());
    }

    #[test]
    fn pairs_are_those_of_comparing_every_pair() {
        // 200 texts of 60 words. Every fourth repeats an earlier text with one to six words changed.
        let mut rng = dht_toys::rng(3);
        let mut numbers: Vec<Vec<u32>> = Vec::new();
        for row in 0..200 {
            let mut text: Vec<u32> = (0..60).map(|_| rng.random_range(0..3000)).collect();
            if row % 4 == 3 {
                text.clone_from(&numbers[rng.random_range(0..row)]);
                for _ in 0..rng.random_range(1..=6) {
                    let at = rng.random_range(0..60);
                    text[at] = rng.random_range(0..3000);
                }
            }
            numbers.push(text);
        }
        let texts: Vec<String> = numbers.iter().map(|numbers| format!("{numbers:?}")).collect();
        let detected: BTreeSet<usize> = duplicates(&texts).iter().map(|duplicate| duplicate.row).collect();
        let all: Vec<BTreeSet<u64>> = texts.iter().map(|text| shingles(&words(text))).collect();
        let repeats = |row: &usize| (0..*row).any(|other| similarity(&all[other], &all[*row]) >= LEAST_SIMILARITY);
        let expected: BTreeSet<usize> = (0..200).filter(repeats).collect();
        assert!(expected.len() > 15, "{expected:?}");
        assert!(detected.is_subset(&expected) && detected.len() + 1 >= expected.len(), "{detected:?} and {expected:?}");
    }
}
