//! Generated texts of graded difficulty, for use without a data file.

mod difficulty;
mod grammar;
mod lexicon;
mod texts;

pub use difficulty::Difficulty;
pub use texts::GeneratedText;
