//! dht-lab

mod corpus;

pub use corpus::{Difficulty, GeneratedText, LABELS, generate, generate_noisy, vocabulary, write_csv};
