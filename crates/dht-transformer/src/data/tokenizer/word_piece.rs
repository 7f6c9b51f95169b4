//! Training of a WordPiece vocabulary from word counts.
//!
//! The method is that of the `tokenizers` crate, with a fixed order of letters. The trainer of that crate numbers the
//! letters within words in the order of a randomly seeded hash map, so that two runs over the same texts can give
//! different vocabularies.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

/// Maximum number of distinct letters in a vocabulary. A letter counts twice if it occurs at the start of a word and
/// within a word. Words with rarer letters become unknown tokens.
const MOST_LETTERS: usize = 1000;
/// Minimum number of occurrences for a pair of subwords to be merged.
const LEAST_COUNT: i64 = 2;
/// Maximum number of letters of a word that is split into subwords. Longer words become the unknown token.
pub(super) const MOST_LETTERS_OF_A_WORD: usize = 100;
const CONTINUING: &str = "##";

/// Returns whether a word is short enough to be split into subwords and to be used for training.
pub(super) fn is_split(word: &str) -> bool {
    word.chars().nth(MOST_LETTERS_OF_A_WORD).is_none()
}

type Pair = (u32, u32);

/// Trains a vocabulary of up to `size` subwords on word counts. It begins with single letters, followed by merged
/// subwords in the order of the merges.
///
/// Each step merges the most frequent pair of adjacent subwords (Sennrich et al. 2016, Algorithm 1, with WordPiece's
/// notation of subwords). In a tie, the pair with the older subwords is merged. Training stops early if no pair occurs
/// twice.
///
/// Time: O(letters of all distinct words) at the start, and O(letters of the words with the merged pair) for each
/// merge.
pub(crate) fn train_word_piece(words: &BTreeMap<String, u64>, size: usize) -> Vec<String> {
    let mut subwords = letters(words, size.min(MOST_LETTERS));
    let mut ids: HashMap<String, u32> = subwords.iter().cloned().zip(0..).collect();
    let mut split: Vec<(Vec<u32>, i64)> = words
        .iter()
        .filter_map(|(word, &count)| {
            Some((letters_of(word).map(|letter| ids.get(&letter).copied()).collect::<Option<_>>()?, count as i64))
        })
        .collect();

    let mut counts: HashMap<Pair, i64> = HashMap::new();
    let mut places: HashMap<Pair, BTreeSet<usize>> = HashMap::new();
    for (place, (word, count)) in split.iter().enumerate() {
        for pair in neighbours(word) {
            *counts.entry(pair).or_default() += count;
            places.entry(pair).or_default().insert(place);
        }
    }
    // The heap may also contain outdated counts of a pair. They are skipped.
    let mut heap: BinaryHeap<(i64, Reverse<Pair>)> =
        counts.iter().map(|(&pair, &count)| (count, Reverse(pair))).collect();

    while subwords.len() < size {
        let Some((count, Reverse(pair))) = heap.pop() else { break };
        if count < LEAST_COUNT {
            break;
        }
        if counts.get(&pair) != Some(&count) {
            continue;
        }
        let merged = format!("{}{}", subwords[pair.0 as usize], &subwords[pair.1 as usize][CONTINUING.len()..]);
        let id = *ids.entry(merged.clone()).or_insert_with(|| {
            subwords.push(merged);
            (subwords.len() - 1) as u32
        });
        let mut changed = BTreeSet::new();
        for place in places.remove(&pair).unwrap_or_default() {
            let (word, count) = &mut split[place];
            for old in neighbours(word) {
                *counts.entry(old).or_default() -= *count;
                changed.insert(old);
            }
            merge(word, pair, id);
            for new in neighbours(word) {
                *counts.entry(new).or_default() += *count;
                places.entry(new).or_default().insert(place);
                changed.insert(new);
            }
        }
        for pair in changed {
            let count = counts[&pair];
            if count > 0 {
                heap.push((count, Reverse(pair)));
            } else {
                counts.remove(&pair);
            }
        }
    }
    subwords
}

/// Most frequent letters, sorted alphabetically. A letter is written `c` at the start of a word and `##c` within a
/// word.
fn letters(words: &BTreeMap<String, u64>, most: usize) -> Vec<String> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (word, count) in words {
        for letter in letters_of(word) {
            *counts.entry(letter).or_default() += count;
        }
    }
    let mut order: Vec<(Reverse<u64>, String)> =
        counts.into_iter().map(|(letter, count)| (Reverse(count), letter)).collect();
    order.sort();
    let mut letters: Vec<String> = order.into_iter().take(most).map(|(_, letter)| letter).collect();
    letters.sort();
    letters
}

fn letters_of(word: &str) -> impl Iterator<Item = String> + '_ {
    word.chars().enumerate().map(
        |(place, letter)| {
            if place == 0 { letter.to_string() } else { format!("{CONTINUING}{letter}") }
        },
    )
}

fn neighbours(word: &[u32]) -> impl Iterator<Item = Pair> + '_ {
    word.windows(2).map(|pair| (pair[0], pair[1]))
}

/// Replaces each occurrence of `pair` by `id`, from the left.
fn merge(word: &mut Vec<u32>, pair: Pair, id: u32) {
    let mut end = 0;
    let mut place = 0;
    while place < word.len() {
        let here = word[place];
        let matches = here == pair.0 && word.get(place + 1) == Some(&pair.1);
        word[end] = if matches { id } else { here };
        end += 1;
        place += if matches { 2 } else { 1 };
    }
    word.truncate(end);
}
