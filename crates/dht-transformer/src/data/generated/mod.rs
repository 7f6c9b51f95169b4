//! Generated reviews of three difficulty levels, for programs and tests that run without a data file.

mod difficulty;
mod grammar;
mod lexicon;
mod texts;

pub use difficulty::Difficulty;
pub use texts::GeneratedText;
