//! Tf-idf features of a text: its unigrams and bigrams of token ids.

use std::collections::{BTreeSet, HashMap};

use dht_transformer::data::UnreadTokens;
use foldhash::fast::RandomState;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Unigram or bigram of token ids. The fields are the index of the text within a pair (0 or 1), the first token and,
/// for a bigram, the second token.
///
/// Words that the tokenizer does not know count as tokens with ids of their own. The n-grams of the unknown token
/// `[UNK]` are counted as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Ngram(u8, u32, Option<u32>);

/// Tokens of one text or pair of texts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tokens<'a> {
    pub(super) ids: &'a [u32],
    /// Token types of `ids`: 0 in the first text of a pair, other values in the second. Empty if all types are 0.
    pub(super) type_ids: &'a [u32],
    pub(super) rest: Option<&'a UnreadTokens>,
}

impl Tokens<'_> {
    /// Iterates over all tokens of the text or pair, including those beyond the encoder's maximum length. Tokens in
    /// `left_out` are skipped.
    pub(super) fn whole(&self, left_out: &BTreeSet<u32>) -> impl Iterator<Item = u32> {
        let rest = self.rest.into_iter().flat_map(|rest| rest.first.iter().chain(&rest.second));
        self.ids.iter().chain(rest).copied().filter(|id| !left_out.contains(id))
    }

    /// Calls `f` for each occurrence of an n-gram in the text. Tokens in `left_out` are skipped, and the tokens on both
    /// sides of a skipped token form a bigram.
    fn for_each_ngram(&self, left_out: &BTreeSet<u32>, mut f: impl FnMut(Ngram)) {
        for side in [0, 1] {
            let side_of = |token| u8::from(self.type_ids.get(token).is_some_and(|kind| *kind != 0));
            let encoded = self.ids.iter().enumerate().filter(|(token, _)| side_of(*token) == side);
            let rest = self.rest.map_or(&[][..], |rest| if side == 0 { &rest.first } else { &rest.second });
            let mut before = None;
            for id in encoded.map(|(_, id)| id).chain(rest).copied().filter(|id| !left_out.contains(id)) {
                f(Ngram(side, id, None));
                if let Some(before) = before.replace(id) {
                    f(Ngram(side, before, Some(id)));
                }
            }
        }
        self.for_each_word_ngram(left_out, &mut f);
    }

    /// Calls `f` for each n-gram with an unknown word. These n-grams use the word's own id in place of the unknown
    /// token `[UNK]`.
    fn for_each_word_ngram(&self, left_out: &BTreeSet<u32>, f: &mut impl FnMut(Ngram)) {
        let Some(rest) = self.rest.filter(|rest| !rest.words.is_empty()) else { return };
        let side_of = |token: usize| u8::from(self.type_ids.get(token).is_some_and(|kind| *kind != 0));
        let sides = (0..self.ids.len()).map(side_of);
        let sides = sides.chain(rest.first.iter().map(|_| 0)).chain(rest.second.iter().map(|_| 1));
        let ids = self.ids.iter().chain(&rest.first).chain(&rest.second);
        let mut words = rest.words.chunk_by(|left, right| left.token == right.token).peekable();
        let mut before = [None; 2];
        for ((token, id), side) in (0_u32..).zip(ids).zip(sides) {
            let before = &mut before[usize::from(side)];
            if let Some(words) = words.next_if(|words| words[0].token == token) {
                for word in words {
                    f(Ngram(side, word.id, None));
                    if let Some((before, _)) = before.replace((word.id, true)) {
                        f(Ngram(side, before, Some(word.id)));
                    }
                }
            } else if !left_out.contains(id)
                && let Some((before, true)) = before.replace((*id, false))
            {
                f(Ngram(side, before, Some(*id)));
            }
        }
    }

    /// Counts each n-gram of the text. The n-grams are in ascending order.
    pub(super) fn ngrams(&self, left_out: &BTreeSet<u32>) -> Vec<(Ngram, u32)> {
        let mut all = Vec::with_capacity(2 * self.ids.len());
        self.for_each_ngram(left_out, |ngram| all.push(ngram));
        all.sort_unstable();
        all.chunk_by(|left, right| left == right).map(|run| (run[0], run.len() as u32)).collect()
    }
}

/// N-gram counts of many texts. Each distinct n-gram has an index, its number.
#[derive(Debug)]
pub(super) struct Corpus {
    /// Distinct n-grams, indexed by number, in the order of their first occurrence.
    ngrams: Vec<Ngram>,
    /// N-gram counts of each text, as pairs of an n-gram's number and its count.
    rows: Vec<Vec<(u32, u32)>>,
}

impl Corpus {
    pub(super) fn new(texts: &[Tokens<'_>], left_out: &BTreeSet<u32>) -> Self {
        let counted: Vec<Vec<(Ngram, u32)>> = texts.par_iter().map(|text| text.ngrams(left_out)).collect();
        let (mut numbers, mut ngrams) = (HashMap::new(), Vec::new());
        let mut number_of = |ngram: Ngram| {
            *numbers.entry(ngram).or_insert_with(|| {
                ngrams.push(ngram);
                ngrams.len() as u32 - 1
            })
        };
        let numbered =
            |row: Vec<(Ngram, u32)>| row.into_iter().map(|(ngram, count)| (number_of(ngram), count)).collect();
        let rows = counted.into_iter().map(numbered).collect();
        Self { ngrams, rows }
    }

    /// Selects feature columns: the n-grams that occur in at least `min_rows` of the texts `rows`. Idf weights are
    /// computed from these texts only.
    pub(super) fn columns(&self, rows: &[usize], min_rows: usize) -> Columns {
        let mut row_counts = vec![0_u32; self.ngrams.len()];
        for row in rows {
            self.rows[*row].iter().for_each(|(number, _)| row_counts[*number as usize] += 1);
        }
        let mut idf = Vec::new();
        let column = |in_rows: &u32| {
            (*in_rows as usize >= min_rows.max(1)).then(|| {
                // Smoothed: computed as if one more text contained every n-gram.
                let ratio = (1.0 + rows.len() as f64) / (1.0 + f64::from(*in_rows));
                idf.push((ratio.ln() + 1.0) as f32);
                idf.len() as u32 - 1
            })
        };
        let of_number = row_counts.iter().map(column).collect();
        Columns { of_number, idf }
    }

    /// Computes the tf-idf features of one text, as pairs of column and weight.
    pub(super) fn features(&self, row: usize, columns: &Columns) -> Vec<(u32, f32)> {
        let known = |(number, count): &(u32, u32)| {
            let column = columns.of_number[*number as usize]?;
            Some((Column { index: column, idf: columns.idf[column as usize] }, *count))
        };
        let mut counts: Vec<(Column, u32)> = self.rows[row].iter().filter_map(known).collect();
        counts.sort_unstable_by_key(|(column, _)| column.index);
        weigh(counts.into_iter())
    }

    /// Builds the vocabulary of the selected n-grams.
    pub(super) fn vocabulary(&self, columns: Columns) -> Vocabulary {
        let known = self.ngrams.iter().zip(&columns.of_number).filter(|(_, column)| column.is_some());
        Vocabulary::new(known.map(|(ngram, _)| *ngram).collect(), columns.idf)
    }
}

/// N-grams of a [`Corpus`] that were selected as feature columns.
#[derive(Debug)]
pub(super) struct Columns {
    /// Feature column of each n-gram, indexed by the n-gram's number; `None` if it was not selected. Columns ascend
    /// with the number.
    of_number: Vec<Option<u32>>,
    idf: Vec<f32>,
}

impl Columns {
    pub(super) fn len(&self) -> usize {
        self.idf.len()
    }
}

/// N-grams that a fitted classifier uses as features, each with its idf weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "StoredVocabulary", into = "StoredVocabulary")]
pub(super) struct Vocabulary {
    ngrams: Vec<Ngram>,
    idf: Vec<f32>,
    /// Column and idf weight of each n-gram. They are in one map, since one memory access is cheaper than two.
    column_of: HashMap<Ngram, Column, RandomState>,
}

/// Feature column: its index, and the idf weight ln((1 + n)/(1 + d)) + 1 of its n-gram, which occurs in d of n training
/// texts.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Column {
    index: u32,
    idf: f32,
}

/// Serialised form of [`Vocabulary`], without the map from n-grams to columns. The map is rebuilt after reading.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredVocabulary {
    ngrams: Vec<Ngram>,
    idf: Vec<f32>,
}

impl From<StoredVocabulary> for Vocabulary {
    fn from(stored: StoredVocabulary) -> Self {
        Self::new(stored.ngrams, stored.idf)
    }
}

impl From<Vocabulary> for StoredVocabulary {
    fn from(vocabulary: Vocabulary) -> Self {
        Self { ngrams: vocabulary.ngrams, idf: vocabulary.idf }
    }
}

impl Vocabulary {
    fn new(ngrams: Vec<Ngram>, idf: Vec<f32>) -> Self {
        let columns = idf.iter().zip(0..).map(|(idf, index)| Column { index, idf: *idf });
        let column_of = ngrams.iter().copied().zip(columns).collect();
        Self { ngrams, idf, column_of }
    }

    pub(super) fn len(&self) -> usize {
        self.ngrams.len()
    }

    /// Tokens of a column's n-gram: one for a unigram, two for a bigram.
    pub(super) fn tokens_of(&self, column: u32) -> Vec<u32> {
        let Ngram(_, first, second) = self.ngrams[column as usize];
        std::iter::once(first).chain(second).collect()
    }

    /// Returns whether all n-grams are distinct and all weights finite, which a vocabulary from a file may violate.
    pub(super) fn is_sound(&self) -> bool {
        let known = self.column_of.len() == self.ngrams.len() && self.idf.len() == self.ngrams.len();
        known && self.idf.iter().all(|idf| idf.is_finite())
    }

    /// Computes the tf-idf features of one text, as pairs of column and weight.
    pub(super) fn features(&self, text: Tokens<'_>, left_out: &BTreeSet<u32>) -> Vec<(u32, f32)> {
        let mut known: Vec<Column> = Vec::with_capacity(2 * text.ids.len());
        text.for_each_ngram(left_out, |ngram| known.extend(self.column_of.get(&ngram)));
        known.sort_unstable_by_key(|column| column.index);
        let runs = known.chunk_by(|left, right| left.index == right.index);
        weigh(runs.map(|run| (run[0], run.len() as u32)))
    }
}

/// Computes the tf-idf weight (1 + ln count) · idf of each column, normalised by the Euclidean norm of all weights.
///
/// The columns must be in ascending order, so that the norm is bit-identical for every order of the n-grams.
fn weigh(counts: impl Iterator<Item = (Column, u32)>) -> Vec<(u32, f32)> {
    let weight = |(column, count): (Column, u32)| {
        (column.index, if count == 1 { 1.0 } else { 1.0 + f64::from(count).ln() } * f64::from(column.idf))
    };
    let weights: Vec<(u32, f64)> = counts.map(weight).collect();
    let length = weights.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
    weights.into_iter().map(|(column, weight)| (column, (weight / length) as f32)).collect()
}
