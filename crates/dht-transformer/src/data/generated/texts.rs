//! Generated texts: short English reviews of three difficulty levels, from a seeded grammar.
//!
//! The corpus trains an encoder of seven layers from scratch in seconds, without network or files. Each text judges a
//! film or a meal. Its class combines this subject with the verdict, praise or complaint.
//!
//! Some texts need more layers than others. Half of them are easy: one opinion word determines the verdict, and one
//! layer is enough. The other texts require combinations of words. One layer is less accurate on them than two, since
//! its `[CLS]` token sees words and positions, but not which words are neighbours:
//!
//! ```text
//! easy    Last weekend, the acting was superb and we parked nearby.
//! middle  The waiter was hardly bad; the street was not busy.          (one negation of an opinion, one of a scene)
//! hard    The plot was not dull, never witty and truly moving.         (two of three praise: the majority)
//! ```
//!
//! Negations indicate that a text is not easy, as in real texts, and are independent of its class. A classifier that
//! counts opinion words is correct on every easy text. On other texts, it finds the verdict only by chance.
//!
//! Use the corpus to check that a pipeline learns, and that it saves FLOPs by running fewer layers and heads on easy
//! texts. Do not use it to compare language models: its grammar is so small that a program of fifty lines classifies
//! every text correctly.

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::difficulty::Difficulty;
use super::grammar::Writer;
use super::lexicon;
use crate::data::{Dataset, Example};
use crate::error::Result;

/// Number of consecutive rows in which every class occurs exactly twice: once with an easy text, once with another
/// text.
const BLOCK: usize = 2 * GeneratedText::LABELS.len();

/// Generated review with its class and difficulty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedText {
    /// One or two sentences, 4 to about 30 words, with capitals and punctuation.
    pub text: String,
    /// Class, as an index into [`LABELS`](Self::LABELS).
    pub label: usize,
    /// Difficulty of the text, for reports. It is not an input of a model.
    pub difficulty: Difficulty,
}

impl GeneratedText {
    /// Names of the classes. The index of a class is 2 · subject + verdict, where the subject is 0 for a film and 1 for
    /// a meal, and the verdict is 0 for praise and 1 for a complaint.
    pub const LABELS: [&str; 4] = ["film praised", "film panned", "meal praised", "meal panned"];

    /// Generates the first `rows` texts of the corpus for `seed`, with correct labels.
    ///
    /// A text depends only on its row number and the seed, so a shorter corpus is the beginning of a longer one. In
    /// every block of eight rows, each class occurs twice, once with an easy text. Corpora of two seeds share about one
    /// text in a hundred, nearly all of them easy. Use different seeds for training and test texts.
    ///
    /// # Examples
    /// ```
    /// use dht_transformer::data::generated::GeneratedText;
    ///
    /// let texts = GeneratedText::generate(16, 1);
    /// assert_eq!(texts[..8], GeneratedText::generate(8, 1)[..]);
    /// assert!(texts.iter().all(|text| text.label < GeneratedText::LABELS.len()));
    /// ```
    pub fn generate(rows: usize, seed: u64) -> Vec<Self> {
        Self::generate_noisy(rows, seed, 0)
    }

    /// Generates the texts of [`generate`](Self::generate) with label noise: on average, `wrong_per_thousand` of 1000
    /// texts have one of the three wrong labels. With 1000 or more, all labels are wrong.
    ///
    /// The texts are the same as without noise.
    pub fn generate_noisy(rows: usize, seed: u64, wrong_per_thousand: u32) -> Vec<Self> {
        (0..rows).map(|row| generate_row(row, seed, wrong_per_thousand)).collect()
    }

    /// Sorted list of all words and punctuation marks that can occur in generated texts, in lower case.
    ///
    /// The list is a complete vocabulary for a tokenizer that lower-cases texts and splits them at spaces and
    /// punctuation.
    pub fn vocabulary() -> Vec<String> {
        let words: BTreeSet<&str> = lexicon::phrases().into_iter().flat_map(|phrase| phrase.split(' ')).collect();
        words.into_iter().map(str::to_owned).collect()
    }
}

impl Dataset {
    /// Generates the texts of [`GeneratedText::generate`] as a data set.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if `rows` is 0.
    pub fn generated(rows: usize, seed: u64) -> Result<Self> {
        let example = |text: GeneratedText| Example::new(text.text, text.label);
        let examples = GeneratedText::generate(rows, seed).into_iter().map(example).collect();
        Self::from_examples("generated texts", GeneratedText::LABELS.map(String::from).to_vec(), examples)
    }
}

fn generate_row(row: usize, seed: u64, wrong_per_thousand: u32) -> GeneratedText {
    let index = index_in_block(row, seed);
    let mut rng = stream(seed, row as u64);
    let mut label = index % GeneratedText::LABELS.len();
    let difficulty = if index < GeneratedText::LABELS.len() {
        Difficulty::Easy
    } else if rng.random_bool(0.4) {
        Difficulty::Middle
    } else {
        Difficulty::Hard
    };
    let text = Writer::new(&mut rng).write(difficulty, label / 2, label % 2);
    // The noise is drawn after the text, so that it does not change the text.
    if rng.random_range(0..1000) < wrong_per_thousand {
        label = (label + rng.random_range(1..GeneratedText::LABELS.len())) % GeneratedText::LABELS.len();
    }
    GeneratedText { text, label, difficulty }
}

/// Position of a row in its shuffled block of eight rows. Positions 0 to 3 are easy texts; the position modulo 4 is the
/// class.
fn index_in_block(row: usize, seed: u64) -> usize {
    const BLOCK_STREAMS: u64 = 1 << 63;
    let mut indices: [usize; BLOCK] = std::array::from_fn(|index| index);
    indices.shuffle(&mut stream(seed, BLOCK_STREAMS | (row / BLOCK) as u64));
    indices[row % BLOCK]
}

fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}

#[cfg(test)]
mod tests;
