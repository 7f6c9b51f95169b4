//! Difficulty of generated texts.

/// Difficulty of a generated review: the structure that determines its verdict, praise or complaint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Difficulty {
    /// One opinion word and no negated clause. Half of the texts are easy.
    Easy,
    /// One opinion and at least one negation, which inverts the opinion or belongs to another clause. A fifth of the
    /// texts are of this kind.
    Middle,
    /// Three or five judgements, each negated or not; the majority is the verdict. Three tenths of the texts are hard.
    Hard,
}
