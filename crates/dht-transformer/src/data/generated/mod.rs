//! Generated texts of graded difficulty, for where there is no file.

mod difficulty;
mod grammar;
mod lexicon;
mod texts;

pub use difficulty::Difficulty;
pub use texts::{GeneratedText, LABELS, dataset, generate, generate_noisy, vocabulary};
