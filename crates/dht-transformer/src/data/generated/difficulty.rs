//! Difficulty of generated texts.

/// Difficulty of a text: the structure that determines its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Difficulty {
    /// One opinion word, without a negated clause. These are half of the texts.
    Easy,
    /// One opinion and at least one negation, which inverts the opinion or belongs to another clause. These are a fifth
    /// of the texts.
    Middle,
    /// The majority of three or five judgements, each negated or not. These are three tenths of the texts.
    Hard,
}
