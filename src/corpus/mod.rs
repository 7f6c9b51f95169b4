//! The embedded corpus: short reviews in English, of graded difficulty, made by a seeded grammar.
//!
//! It exists so that a from-scratch encoder of seven layers can be trained in seconds, without network or files, on texts
//! of which some need more layers than others. Each text judges a film or a meal; the class is subject × verdict. Half of
//! the texts are easy: one opinion word tells the verdict, and one layer is enough. The others need several words
//! together: one layer, whose [CLS] sees words and places but not what stands beside what, falls behind two:
//!
//! ```text
//! easy    Last weekend, the acting was superb and we parked nearby.
//! middle  The waiter was hardly bad; the street was not busy.          (a negation that counts, one that does not)
//! hard    The plot was not dull, never witty and truly moving.         (two of three praise: most have the say)
//! ```
//!
//! Negations show that a text is not easy, as they do in real texts, and say nothing about its class.
//! Counting opinion words is right on every easy text and a coin toss on the others.
//!
//! Use it to see that a pipeline learns and that routing saves work. Do not use it to compare models of language: its
//! grammar is closed, and an oracle of fifty lines reads it without a mistake.

mod grammar;
mod lexicon;

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use self::grammar::Writer;

/// The classes, in the order of [`GeneratedText::label`]: label = 2 · subject + verdict.
pub const LABELS: [&str; 4] = ["film praised", "film panned", "meal praised", "meal panned"];

/// Rows in which every class comes up once among the easy texts and once among the others.
const BLOCK: usize = 2 * LABELS.len();

/// What a reader must combine to know the verdict of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Difficulty {
    /// One opinion word decides; no negation anywhere. Half of the texts.
    Easy,
    /// One opinion and at least one negation, which turns the opinion round or belongs to another clause. A fifth.
    Middle,
    /// Three or five judgements, each negated or not; the verdict is that of most. Three tenths.
    Hard,
}

/// One text of the corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedText {
    /// One or two sentences, 4 to about 30 words, with capitals and punctuation.
    pub text: String,
    /// The class, an index into [`LABELS`].
    pub label: usize,
    /// How it was built; for reports, not for training.
    pub difficulty: Difficulty,
}

/// The first `rows` texts of the corpus of this seed, with true labels.
///
/// A row depends on `(seed, row)` alone, so a longer corpus begins with the shorter one. Every block of eight rows holds
/// each class twice, once in an easy text. Two seeds share about one text in a hundred, nearly all of them easy: draw the
/// training and the test part from different seeds.
pub fn generate(rows: usize, seed: u64) -> Vec<GeneratedText> {
    generate_noisy(rows, seed, 0)
}

/// The texts of [`generate`], of which `wrong_per_thousand` (all from 1000 up) get one of the three wrong labels.
///
/// The texts themselves do not depend on the noise.
pub fn generate_noisy(rows: usize, seed: u64, wrong_per_thousand: u32) -> Vec<GeneratedText> {
    (0..rows).map(|row| generate_row(row, seed, wrong_per_thousand)).collect()
}

/// Every word and mark that a text can contain, in lower case, each once, sorted.
///
/// A tokenizer that lower-cases and splits at spaces and around punctuation meets nothing else.
pub fn vocabulary() -> Vec<String> {
    let words: BTreeSet<&str> = lexicon::phrases().into_iter().flat_map(|phrase| phrase.split(' ')).collect();
    words.into_iter().map(str::to_owned).collect()
}

/// Writes texts as csv with the columns `label` (a number), `difficulty` and `text` (quoted; it holds no quote itself).
///
/// # Errors
/// Whatever the writer reports.
pub fn write_csv(texts: &[GeneratedText], mut writer: impl Write) -> io::Result<()> {
    writeln!(writer, "label,difficulty,text")?;
    for GeneratedText { text, label, difficulty } in texts {
        writeln!(writer, "{label},{difficulty:?},\"{text}\"")?;
    }
    writer.flush()
}

fn generate_row(row: usize, seed: u64, wrong_per_thousand: u32) -> GeneratedText {
    let place = place_in_block(row, seed);
    let mut rng = stream(seed, row as u64);
    let mut label = place % LABELS.len();
    let difficulty = if place < LABELS.len() {
        Difficulty::Easy
    } else if rng.random_bool(0.4) {
        Difficulty::Middle
    } else {
        Difficulty::Hard
    };
    let text = Writer::new(&mut rng).write(difficulty, label / 2, label % 2);
    // Drawn after the text, so that noise leaves the text alone.
    if rng.random_range(0..1000) < wrong_per_thousand {
        label = (label + rng.random_range(1..LABELS.len())) % LABELS.len();
    }
    GeneratedText { text, label, difficulty }
}

/// Where the shuffle of its block puts a row: the first four places are easy, and a place modulo 4 is the class.
fn place_in_block(row: usize, seed: u64) -> usize {
    const BLOCK_STREAMS: u64 = 1 << 63;
    let mut places: [usize; BLOCK] = std::array::from_fn(|place| place);
    places.shuffle(&mut stream(seed, BLOCK_STREAMS | (row / BLOCK) as u64));
    places[row % BLOCK]
}

fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}

#[cfg(test)]
mod tests;
